"""Decide one info command: what is known of a contact, and its conversations on all channels.

- Chosen by an id, old and merged ones too, or by one identifier that the contact holds, verified.
- Nobody, or somebody forgotten: `unknown_contact`.
- A custom identifier finds whoever has it: this is asked by those who run the service, not by a visitor.
- Nothing changes, and no token is made.
"""

from airy_identify.core.airy_facts import names_of
from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.commands import Info
from airy_identify.core.contacts import IdentityReader, find_by_id, owned_contact
from airy_identify.core.journal import details_of
from airy_identify.core.reasons import Rejected, unknown_contact
from airy_identify.core.values import BUILT_IN_KINDS, Contact, Forgotten, IdentifierKey, Owner
from airy_identify.core.view import view_contact


def info(command: Info, table: IdentityReader) -> Decision | Rejected:
    """Decide a command against the rows before it. Rejected as `unknown_contact`.

    Raises:
        InconsistentTableError: a row points to a contact or a merge that is not there.
    """
    contact = _find(command, table)
    if not isinstance(contact, Contact):
        return unknown_contact(_field(command))
    pending = sorted(contact.conversations, key=lambda conversation: (-conversation.created_at_ms, conversation.id))
    slip = ResumeSlip(
        request_id=command.request_id,
        tenant=command.tenant,
        accepted_at_ms=command.accepted_at_ms,
        reply_to=command.reply_to,
        contact=view_contact(contact, names=names_of(table, command.tenant, contact)),
        created_contact=False,
        created_conversation=False,
        pending=tuple(pending),
        details=details_of(table, command.tenant, contact),
    )
    return Decision(slip=slip)


def _find(command: Info, table: IdentityReader) -> Contact | Forgotten | None:
    if command.contact_id is not None:
        return find_by_id(table, command.tenant, command.contact_id)
    if command.identifier is None:
        return None
    key = IdentifierKey(tenant=command.tenant, kind=command.identifier.kind, value=command.identifier.value)
    owner = table.owner(key)
    return owned_contact(table, command.tenant, owner) if isinstance(owner, Owner) else None


def _field(command: Info) -> str:
    if command.identifier is None:
        return "contact_id"
    kind = command.identifier.kind
    return kind if kind in BUILT_IN_KINDS else f"identifiers.{kind}"
