"""Decide one command for a resume token: channel, conversation and tenant must belong together.

- A conversation of one of the tenant's contacts must be on this channel.
- One that no contact here has may be Airy's own: the table `conversation` decides, by the channel that its messages
  came through. The channel belongs to one tenant, so the conversation does.
- Anything else, and what was forgotten, is `unknown_conversation`.
"""

from airy_identify.core.answers import Decision, TokenSlip
from airy_identify.core.commands import GiveResumeToken
from airy_identify.core.contacts import IdentityReader, owned_contact
from airy_identify.core.reasons import Rejected, unknown_conversation
from airy_identify.core.values import ConversationOwnerKey, Forgotten


def give_token(command: GiveResumeToken, table: IdentityReader) -> Decision | Rejected:
    """Decide a command against the rows before it. Rejected as `unknown_conversation`.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    key = ConversationOwnerKey(tenant=command.tenant, conversation_id=command.conversation_id)
    owner = table.owner(key)
    if isinstance(owner, Forgotten):
        return unknown_conversation()
    if owner is not None:
        contact = owned_contact(table, command.tenant, owner)
        wanted = (command.conversation_id, command.channel_id)
        if wanted not in {(conversation.id, conversation.channel_id) for conversation in contact.conversations}:
            return unknown_conversation()
    slip = TokenSlip(
        request_id=command.request_id,
        accepted_at_ms=command.accepted_at_ms,
        reply_to=command.reply_to,
        channel_id=command.channel_id,
        conversation_id=command.conversation_id,
        owned=owner is not None,
    )
    return Decision(slip=slip)
