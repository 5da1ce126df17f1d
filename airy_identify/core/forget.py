"""Decide one forget command: a contact is erased, and only bare markers stay.

- An id that was never seen is `unknown_contact`. What is forgotten is forgotten: nothing changes.
- The contact, its identifiers, its journal and the journals of the contacts that it took in are deleted.
- Its ids and its conversations leave markers, here and in the table `conversation`, so that nothing late revives them.
- Whoever was separated from it is separated from it no longer.
- Its identifiers are free: the next request with one of them is about a new person.
- What Airy's rows say of it is deleted here; later rows of it are not kept. It may go on living in Airy.
- One that was put aside because Airy deleted it is erased at once (`gone`).
"""

from airy_identify.core.answers import ContactForgotten, Decision
from airy_identify.core.commands import Forget
from airy_identify.core.contacts import IdentityReader, find_by_id
from airy_identify.core.erasing import erase_history, leave_markers
from airy_identify.core.gone import erase, put_aside_contact, take_back
from airy_identify.core.pending import PendingTable
from airy_identify.core.reasons import Rejected, unknown_contact
from airy_identify.core.values import Forgotten


def forget(command: Forget, table: IdentityReader) -> Decision | Rejected:
    """Decide a command against the rows before it. Rejected as `unknown_contact`.

    Raises:
        InconsistentTableError: a row points to a contact or a merge that is not there.
    """
    tenant = command.tenant
    contact = find_by_id(table, tenant, command.contact_id)
    if contact is None:
        return unknown_contact("contact_id")
    answer = ContactForgotten(request_id=command.request_id)
    erased = PendingTable(table)
    if isinstance(contact, Forgotten):
        put_aside = put_aside_contact(table, tenant, command.contact_id)
        if put_aside is None:
            return Decision(answer=answer)
        forgotten = erase(erased, tenant, put_aside)
        take_back(erased, tenant, put_aside.id)
        return Decision(writes=erased.writes, answer=answer, forgotten=forgotten)
    leave_markers(erased, tenant, contact)
    erase_history(erased, tenant, contact)
    forgotten = tuple(conversation.id for conversation in contact.conversations)
    return Decision(writes=erased.writes, answer=answer, forgotten=forgotten)
