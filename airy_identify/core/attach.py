"""The conversation that a visitor is in just now: whose is it, and does it become the target's?

- A token says where, not who: it never chooses the target, and nothing but the one conversation that it names moves.
- A conversation that nobody has here becomes the target's. One that the target has, or got by a merge, stays.
- One of an anonymous contact becomes the target's if that contact's e-mail does not differ from the request's
  (unverified ones count, as for a custom identifier), the two were not separated, and it has it on the request's
  channel. The anonymous contact keeps everything else.
- One of a known or hard contact stays. So an anonymous conversation becomes a known person's once, and then it is
  nobody else's.
- One that nobody has here may be somebody's in Airy: if a living contact of Airy has it that is known or hard, it stays.
  The contact that Airy made for it, and that is nothing else, becomes an alias of the target.
- A forgotten one stays forgotten. One too many for the target is not attached.
- What is not attached gives one warning, whatever the reason: whose the conversation is, is not told. It is no conflict.
"""

from dataclasses import dataclass

from airy_identify.core.airy_facts import CONVERSATION, claimants, conversations_of, created_at, read_facts
from airy_identify.core.commands import Identify
from airy_identify.core.contacts import IdentityReader, find_by_id, owned_contact
from airy_identify.core.ids import from_name
from airy_identify.core.levels import level_of
from airy_identify.core.merging import ALIASES_MAX, CONVERSATIONS_MAX, is_separated
from airy_identify.core.reasons import Warned, WarningCode
from airy_identify.core.values import (
    Contact,
    ContactConversation,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    Level,
    SeenConversation,
    SeenConversationKey,
    TenantId,
)

FIELD = "attach"
NO_TOKEN = "attach is no valid token of this channel, or it has expired; no conversation was attached"  # noqa: S105
NOT_ATTACHED = "the conversation of this token was not attached to the contact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The target gets this conversation. `former` is the anonymous contact that loses it, null if nobody had it.

    `derived_id` is the id that Airy's contacts service gives to its contact, null if it leads to somebody here.
    """

    conversation: ContactConversation
    former: Contact | None
    derived_id: ContactId | None


def attach(
    command: Identify, table: IdentityReader, *, target: Contact | None, merged_ids: frozenset[ContactId] = frozenset()
) -> Attached | Warned | None:
    """Decide about the conversation that a request asks to attach; null when there is nothing to do.

    `target` is the contact after its merges, null when it is yet to be made; `merged_ids` are those who ended in it.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    if command.attach is None:
        return None
    conversation_id = command.attach.conversation_id
    if conversation_id is None:
        return Warned(code=WarningCode.CONVERSATION_NOT_ATTACHED, message=NO_TOKEN, field=FIELD)
    if target is not None and any(each.id == conversation_id for each in target.conversations):
        return None
    own_ids = merged_ids if target is None else merged_ids | {target.id}
    owner = conversation_owner(table, command.tenant, conversation_id)
    if owner is None and _is_anothers_in_airy(table, command.tenant, conversation_id, own_ids):
        conversation = None
    else:
        conversation = _free_conversation(command, conversation_id, owner, table)
    if conversation is None or (target is not None and not _may_get(target, owner)):
        return Warned(code=WarningCode.CONVERSATION_NOT_ATTACHED, message=NOT_ATTACHED, field=FIELD)
    derived_id = ContactId(from_name(conversation_id))
    return Attached(
        conversation=conversation,
        former=owner if isinstance(owner, Contact) else None,
        derived_id=derived_id if _leads_nowhere(table, command.tenant, derived_id, conversation_id) else None,
    )


def conversation_owner(
    table: IdentityReader, tenant: TenantId, conversation_id: ConversationId
) -> Contact | Forgotten | None:
    """Return who has a conversation, the marker if it was forgotten, null if nobody has it here.

    Raises:
        InconsistentTableError: its owner is not there.
    """
    owner = table.owner(ConversationOwnerKey(tenant=tenant, conversation_id=conversation_id))
    return owner if owner is None or isinstance(owner, Forgotten) else owned_contact(table, tenant, owner)


def _is_anothers_in_airy(
    table: IdentityReader, tenant: TenantId, conversation_id: ConversationId, own_ids: frozenset[ContactId]
) -> bool:
    """Tell whether a living contact of Airy has a conversation that stands for somebody else who is known."""
    for contact_id in claimants(table, tenant, CONVERSATION, conversation_id):
        if created_at(read_facts(table, tenant, contact_id)) is None:
            continue
        found = find_by_id(table, tenant, contact_id)
        if isinstance(found, Contact) and found.id not in own_ids and level_of(found) is not Level.ANONYMOUS:
            return True
    return False


def _leads_nowhere(
    table: IdentityReader, tenant: TenantId, derived_id: ContactId, conversation_id: ConversationId
) -> bool:
    """Tell whether the id that Airy gives to a conversation's contact may become the target's.

    It leads to nobody, or to the contact that Airy made, which lives in Airy only and has nothing but the conversation.
    """
    found = find_by_id(table, tenant, derived_id)
    if found is None:
        return True
    if not isinstance(found, Contact) or found.id != derived_id:
        return False
    if table.is_stored(ContactKey(tenant=tenant, contact_id=derived_id)) or level_of(found) is not Level.ANONYMOUS:
        return False
    facts = read_facts(table, tenant, derived_id)
    named = set() if facts is None else {each for each, _ in conversations_of(facts)}
    return not found.aliases and named <= {conversation_id}


def without_conversation(contact: Contact, conversation_id: ConversationId) -> tuple[ContactConversation, ...]:
    """Return the conversations of a contact but this one."""
    return tuple(each for each in contact.conversations if each.id != conversation_id)


def _free_conversation(
    command: Identify, conversation_id: ConversationId, owner: Contact | Forgotten | None, table: IdentityReader
) -> ContactConversation | None:
    """Return the conversation if its owner does not stand in the way, and it is not known to be on another channel."""
    if owner is None:
        seen = table.airy(SeenConversationKey(tenant=command.tenant, conversation_id=conversation_id))
        started_at_ms = command.accepted_at_ms
        if isinstance(seen, SeenConversation):
            if seen.channel_id != command.channel_id:
                return None
            started_at_ms = seen.created_at_ms
        return ContactConversation(
            id=conversation_id,
            channel_id=command.channel_id,
            source=command.channel_source,
            created_at_ms=started_at_ms,
        )
    if isinstance(owner, Forgotten) or level_of(owner) is not Level.ANONYMOUS:
        return None
    if owner.email is not None and command.email is not None and owner.email.value != command.email.value:
        return None
    wanted = (conversation_id, command.channel_id)
    return next((each for each in owner.conversations if (each.id, each.channel_id) == wanted), None)


def _may_get(target: Contact, owner: Contact | Forgotten | None) -> bool:
    if len(target.conversations) >= CONVERSATIONS_MAX or len(target.aliases) >= ALIASES_MAX:
        return False
    return not isinstance(owner, Contact) or not is_separated(owner, target)
