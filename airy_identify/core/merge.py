"""Decide one merge command: two contacts become one, because somebody who knows says so.

- Both ids must lead to contacts, else `unknown_contact`; old and merged ids do.
- A contact merged with itself changes nothing.
- Levels, separations and e-mails do not matter here. The destination survives (`merging` says how).
- Beyond the limits: `too_large_to_merge`.
"""

from airy_identify.core.airy_facts import names_of
from airy_identify.core.answers import ContactChanged, Decision
from airy_identify.core.claims import Merger
from airy_identify.core.commands import Merge
from airy_identify.core.contacts import IdentityReader, find_by_id
from airy_identify.core.index import write_contacts
from airy_identify.core.journal import write_journal
from airy_identify.core.merging import merge_contacts
from airy_identify.core.reasons import Reason, Rejected, unknown_contact
from airy_identify.core.values import Contact
from airy_identify.core.view import view_contact

BY_COMMAND = "command"


def merge(command: Merge, table: IdentityReader, *, offset: int) -> Decision | Rejected:
    """Decide a command against the rows before it; `offset` is its place in the log.

    Rejected as `unknown_contact` or `too_large_to_merge`; then nothing is to be written.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    source = find_by_id(table, command.tenant, command.source_id)
    if not isinstance(source, Contact):
        return unknown_contact("source_id")
    destination = find_by_id(table, command.tenant, command.destination_id)
    if not isinstance(destination, Contact):
        return unknown_contact("destination_id")
    if source.id == destination.id:
        answer = ContactChanged(
            request_id=command.request_id,
            contact=view_contact(destination, names=names_of(table, command.tenant, destination)),
        )
        return Decision(answer=answer)
    merged = merge_contacts(destination, source, at_ms=command.accepted_at_ms)
    if merged is None:
        message = "the two together have too many conversations, aliases or custom kinds, or too much metadata"
        return Rejected(reason=Reason.TOO_LARGE_TO_MERGE, message=message)
    writes = write_contacts(command.tenant, ((destination, merged), (source, None)))
    merger = Merger(survivor=destination, merged=source, why=BY_COMMAND)
    writes += write_journal(command, (merger,), before=destination, after=merged, offset=offset)
    answer = ContactChanged(
        request_id=command.request_id, contact=view_contact(merged, names=names_of(table, command.tenant, merged))
    )
    return Decision(writes=tuple(writes), answer=answer)
