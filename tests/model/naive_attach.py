"""The naive model of a token that comes along with an identify request."""

from tests.model.people import Ask, People, Person, airy_id

Chat = tuple[str, str, int]


def is_new(world: People, contact_id: str) -> bool:
    """Tell whether nobody has, or had and was forgotten with, this id."""
    return world.find(contact_id) is None and not world.was_forgotten(contact_id)


def brought_chat(world: People, ask: Ask) -> Chat | None:
    """Return the conversation of the token, as whoever has it has it; null if it cannot be attached to anybody."""
    if not ask.token or ask.token[0] is None:
        return None
    chat_id = ask.token[0]
    if any(chat[0] == chat_id for somebody in world.forgotten for chat in somebody.chats):
        return None
    for somebody in world.people:
        for chat in somebody.chats:
            if chat[0] == chat_id:
                return chat
    return (chat_id, ask.channel, ask.at)


def brought_to(world: People, ask: Ask, person: Person, chat: Chat | None) -> str:
    """Return attached, refused, or kept: the person has it already."""
    if not ask.token:
        return "kept"
    if chat is None:
        return "refused"
    if chat in person.chats:
        return "kept"
    if len(person.chats) >= world.limits.chats or len(person.aliases) >= world.limits.aliases:
        return "refused"
    for owner in world.people:
        if chat in owner.chats:
            strangers = bool(owner.email and ask.email and owner.email[0] != ask.email[0])
            if owner.level != "anonymous" or strangers or world.are_separated(owner, person) or chat[1] != ask.channel:
                return "refused"
    return "attached"


def give_chat(world: People, person: Person, chat: Chat) -> None:
    """Let the conversation be this person's and nobody else's."""
    for other in world.people:
        other.chats = [each for each in other.chats if each[0] != chat[0]]
    person.chats.append(chat)
    if is_new(world, airy_id(chat[0])):
        person.aliases.append(airy_id(chat[0]))
