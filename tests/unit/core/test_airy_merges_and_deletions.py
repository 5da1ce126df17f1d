import itertools

import pytest

from airy_identify.core import merging
from airy_identify.core.answers import Decision
from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.gone import ERASED_AT_ONCE_MAX, GRACE_MS
from airy_identify.core.ids import from_name
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    AiryRecord,
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    Gone,
    GoneKey,
    GoneQueue,
    GoneQueueKey,
    IdentityKey,
    Merged,
    Owner,
)
from tests.airy_rows import DAY_LATER_MS, OWN_CHAT, AiryTable, facts, rows, tombstones
from tests.builders import (
    ACCEPTED_AT_MS,
    TENANT,
    make_airy_source,
    make_conversation_seen,
    make_fact,
    make_forget,
    make_info,
    make_merge,
    make_row_received,
    make_tombstone,
    make_unmerge,
)

A = ContactId("aaaaaaaa-0000-4000-8000-000000000001")
B = ContactId("bbbbbbbb-0000-4000-8000-000000000002")
C = ContactId("cccccccc-0000-4000-8000-000000000003")
CHAT = ConversationId("dddddddd-0000-4000-8000-000000000004")
NEXT_CHAT = "22222222-2222-4222-8222-222222222222"


def stored(table: AiryTable, contact_id: str) -> Contact:
    row = table.rows[ContactKey(tenant=TENANT, contact_id=ContactId(contact_id))]
    assert isinstance(row, Contact)
    return row


def without_records(table: AiryTable) -> dict[IdentityKey, object]:
    return {key: row for key, row in table.rows.items() if not isinstance(row, AiryRecord)}


def alias(contact_id: str) -> IdentityKey:
    return AliasKey(tenant=TENANT, contact_id=ContactId(contact_id))


def merged_in_airy(source: str, into: str, **of_source: object) -> tuple[list[ContactRowReceived], ContactRowReceived]:
    """Return the tombstones of a source, and the history of the destination."""
    gone = tombstones(source, facts(email="x@b.cd", name="x", chats=[CHAT]))
    history = rows(into, facts(created_at=None, merged=[make_airy_source(source, **of_source)]))
    return gone, history[0]


# Deleted in Airy


def test_somebody_deleted_in_airy_is_forgotten() -> None:
    table = AiryTable()
    said = table.add(A, external_id="u1", email="a@b.cd", name="Ada", chats=[CHAT])
    table.tell(make_conversation_seen(CHAT))
    table.identify(external_id="u1", identifiers={"device": "d1"}, metadata={"plan": "pro"})
    table.tell(*tombstones(A, said))
    new = table.identify(external_id="u1", email="a@b.cd", identifiers={"device": "d1"}, new_id=NEXT_CHAT)
    assert (new.created_contact, [each.id for each in new.pending]) == (True, [NEXT_CHAT])
    assert new.contact.id != A
    assert (new.contact.display_name, new.contact.metadata) == (None, {})
    for contact_id in (A, A):
        told = table.apply(make_info(contact_id=contact_id, identifier=None))
        assert isinstance(told, Rejected)


def test_every_alias_of_somebody_deleted_is_erased_too() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd", merged=[make_airy_source(B)])
    table.add(C, phone="+491")
    table.identify(email="a@b.cd")
    table.apply(make_merge(C, A))
    table.tell(*tombstones(A, said))
    for contact_id in (A, B, C):
        told = table.apply(make_info(contact_id=contact_id, identifier=None))
        assert isinstance(told, Rejected)
        assert told.reason is Reason.UNKNOWN_CONTACT
    assert table.holder("phone_number", "+491") is None
    assert table.airys == {}
    table.tell(make_row_received(None, None, record_key="x", accepted_at_ms=DAY_LATER_MS))
    assert not [row for row in table.rows.values() if isinstance(row, Merged | Contact | Gone | GoneQueue)]


def test_somebody_deleted_is_erased_a_day_later_and_not_before() -> None:
    for later, erased in ((GRACE_MS - 1, False), (GRACE_MS, True)):
        table = AiryTable()
        said = table.add(A, email="a@b.cd", chats=[CHAT])
        table.tell(make_conversation_seen(CHAT))
        table.identify(email="a@b.cd")
        table.tell(*tombstones(A, said))
        assert isinstance(table.gone(A), Gone)
        assert table.erased == []
        table.tell(make_row_received(None, None, record_key="x", accepted_at_ms=ACCEPTED_AT_MS + later))
        assert (table.gone(A) is None) is erased
        assert table.erased == ([CHAT] if erased else [])
        assert set(map(type, table.rows.values())) == {Forgotten} | (set() if erased else {Gone, GoneQueue})


def test_a_command_that_writes_erases_those_whose_time_has_come_and_no_other_command() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd", chats=[CHAT])
    table.tell(make_conversation_seen(CHAT))
    table.identify(email="a@b.cd")
    table.tell(*tombstones(A, said))
    mine = table.identify(external_id="u2", new_id=NEXT_CHAT).contact.id or ""
    table.identify(external_id="u2", accepted_at_ms=DAY_LATER_MS)
    table.identify(external_id="u3", dry_run=True, accepted_at_ms=DAY_LATER_MS)
    table.apply(make_info(contact_id=mine, identifier=None, accepted_at_ms=DAY_LATER_MS))
    assert isinstance(table.gone(A), Gone)
    table.identify(external_id="u2", metadata={"a": 1}, accepted_at_ms=DAY_LATER_MS)
    assert (table.gone(A), table.erased) == (None, [CHAT])
    assert stored(table, mine).metadata == {"a": 1}


def test_many_are_erased_in_the_order_in_which_they_went() -> None:
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(ERASED_AT_ONCE_MAX + 2)]
    table = AiryTable()
    for number, contact_id in enumerate(ids):
        table.add(contact_id, external_id=contact_id)
        table.identify(external_id=contact_id, new_id=f"{number:08x}-9999-4000-8000-000000000000")
    for contact_id in ids:
        table.tell(make_tombstone(contact_id, "created_at"))
    later = make_row_received(None, None, record_key="x", accepted_at_ms=DAY_LATER_MS)
    table.tell(later)
    left = [key.contact_id for key in table.rows if isinstance(key, GoneKey)]
    assert left == ids[ERASED_AT_ONCE_MAX:]
    table.tell(later)
    assert GoneQueueKey(tenant=TENANT) not in table.rows


def test_separations_from_somebody_erased_go() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(B, phone="+491")
    table.apply(make_merge(A, B))
    table.apply(make_unmerge(A))
    table.tell(make_tombstone(A, "created_at"))
    assert [each.other for each in stored(table, B).separations] == [A]
    table.tell(make_row_received(None, None, record_key="x", accepted_at_ms=DAY_LATER_MS))
    assert stored(table, B).separations == ()


def test_a_late_row_of_somebody_deleted_revives_nobody() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd", name="Ada")
    table.identify(email="a@b.cd")
    table.tell(*tombstones(A, said))
    before = dict(table.rows)
    late = facts(created_at=9, name="Chatplugin 1", email="a@b.cd", chats=[OWN_CHAT])
    table.tell(*rows(A, late))
    table.tell(make_conversation_seen(OWN_CHAT))
    assert without_records(table) == before
    table.tell(*tombstones(A, late))
    assert table.rows == before


@pytest.mark.parametrize("late", [True, False])
def test_which_row_gave_somebody_deleted_a_conversation_is_known_until_that_one_is_erased(*, late: bool) -> None:
    """Should it come back as a part of another, Airy has to be told again whose the conversation is."""
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.identify(email="a@b.cd")
    said = rows(A, facts(name="Ada", chats=[OWN_CHAT]))
    gone = [make_tombstone(A, "created_at")]
    table.tell(*(gone + said if late else said + gone))
    records = [row for row in table.rows.values() if isinstance(row, AiryRecord)]
    assert [each.key for each in records] == [f"conversations.{OWN_CHAT}"]
    table.tell(make_row_received(None, None, record_key="x", accepted_at_ms=DAY_LATER_MS))
    assert set(map(type, table.rows.values())) == {Forgotten}


def test_the_contact_that_airy_has_of_an_alias_is_not_the_contact() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    said = table.add(B, phone="+491", name="Bea")
    table.apply(make_merge(B, A))
    table.tell(*tombstones(B, said))
    slip = table.identify(phone_number="+491")
    assert (slip.contact.id, slip.contact.display_name) == (A, None)


def test_what_this_service_deletes_in_airy_is_not_deleted_here() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd")
    table.identify(email="a@b.cd")
    table.tell(*tombstones(A, said, own=True))
    assert table.identify(email="a@b.cd").contact.id == A


def test_deleting_one_that_is_nobody_here_leaves_no_marker() -> None:
    table = AiryTable()
    table.tell(*tombstones(A, table.add(A, email="a@b.cd")))
    assert table.rows == {}


def test_a_forget_command_does_not_wait() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd", chats=[CHAT])
    table.tell(make_conversation_seen(CHAT))
    table.identify(email="a@b.cd")
    table.tell(*tombstones(A, said))
    assert isinstance(table.apply(make_forget(A)), Decision)
    assert table.erased == [CHAT]
    gone = table.gone(A)
    assert isinstance(gone, Gone)
    assert gone.contact is None
    _, history = merged_in_airy(A, B)
    table.tell(history, *rows(B, facts()))
    assert table.identify(email="a@b.cd").created_contact
    before = dict(table.rows)
    assert isinstance(table.apply(make_forget(A)), Decision)
    assert table.rows == before


# Merged in Airy


def test_before_anybody_is_ours_a_source_is_an_alias_whose_keys_fill_blanks() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd", external_id="u1")
    table.add(B, created_at=5, email="b@b.cd", external_id="u2")
    source = make_airy_source(A, email="a@b.cd", external_id="u1", phone_number="+491")
    table.tell(*rows(B, facts(created_at=5, email="b@b.cd", external_id="u2", merged=[source, make_airy_source(B)])))
    table.tell(*tombstones(A, said))
    for given in ({"external_id": "u1"}, {"external_id": "u2"}, {"phone_number": "+491"}, {"email": "b@b.cd"}):
        slip = table.identify(**given, dry_run=True)
        assert (slip.contact.id, slip.contact.external_id, slip.contact.email) == (B, "u2", "b@b.cd")
    assert table.identify(email="a@b.cd", dry_run=True).created_contact
    table.identify(external_id="u2")
    assert (stored(table, B).aliases, stored(table, B).former_external_ids) == ((A, from_name(OWN_CHAT)), ("u1",))
    told = table.apply(make_info(contact_id=A, identifier=None))
    assert isinstance(told, Decision)


def test_a_source_that_still_has_rows_is_an_alias_all_the_same() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(B, merged=[make_airy_source(A, email="a@b.cd")])
    assert table.identify(email="a@b.cd").contact.id == B


def test_a_destination_that_does_not_live_takes_nobody() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(B, created_at=None, merged=[make_airy_source(A, email="a@b.cd")])
    assert table.identify(email="a@b.cd").contact.id == A
    told = table.apply(make_info(contact_id=B, identifier=None))
    assert isinstance(told, Rejected)


def test_two_that_name_each_other_are_both_there() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", merged=[make_airy_source(B)])
    table.add(B, phone="+491", merged=[make_airy_source(A)])
    assert table.identify(email="a@b.cd").contact.id == A
    assert table.identify(phone_number="+491").contact.id == B


@pytest.mark.parametrize("destination_is_ours", [True, False])
def test_a_merge_in_airy_is_no_deletion_whatever_comes_first(*, destination_is_ours: bool) -> None:
    ended = []
    for order in list(itertools.permutations(range(6)))[::11]:
        table = AiryTable()
        table.add(A, email="x@b.cd", name="x", chats=[CHAT])
        table.tell(make_conversation_seen(CHAT))
        table.identify(email="x@b.cd", metadata={"plan": "pro"}, identifiers={"device": "d"})
        said = table.add(B, phone="+491")
        if destination_is_ours:
            table.identify(phone_number="+491", new_id=NEXT_CHAT)
        gone, history = merged_in_airy(A, B, email="x@b.cd")
        told = [*gone, history, rows(B, said)[0]]
        table.tell(*(told[number] for number in order))
        slip = table.identify(email="x@b.cd", new_id=NEXT_CHAT)
        assert (slip.contact.id, slip.contact.metadata) == (B, {"plan": "pro"})
        assert CHAT in {each.id for each in slip.pending}
        assert table.rows[alias(A)] == Owner(contact_id=B)
        assert slip.contact.identifiers
        table.tell(make_row_received(None, None, record_key="x", accepted_at_ms=DAY_LATER_MS))
        assert table.erased == []
        ended.append({key: row for key, row in table.rows.items() if not isinstance(row, Merged)})
    assert all(each == ended[0] for each in ended)


def test_what_somebody_else_has_by_now_is_not_taken_back() -> None:
    table = AiryTable()
    said = table.add(A, email="x@b.cd", phone="+491")
    table.identify(email="x@b.cd")
    table.add(B)
    table.tell(*tombstones(A, said))
    other = table.identify(email="x@b.cd", new_id=NEXT_CHAT).contact.id
    _, history = merged_in_airy(A, B, email="x@b.cd")
    table.tell(history)
    assert (table.holder("email", "x@b.cd"), table.holder("phone_number", "+491")) == (other, B)


def test_a_source_that_never_was_ours_brings_what_is_free() -> None:
    table = AiryTable()
    table.add(B, phone="+491")
    table.identify(phone_number="+491")
    table.identify(external_id="taken", new_id=NEXT_CHAT)
    sources = [make_airy_source(A, external_id="taken", email="x@b.cd"), make_airy_source(C)]
    table.tell(make_row_received(B, make_fact("mergeHistory", merged=tuple(sources))))
    contact = stored(table, B)
    assert (contact.aliases, contact.external_id, table.holder("email", "x@b.cd")) == (
        (from_name(OWN_CHAT), A, C),
        None,
        B,
    )
    journal = [row for row in table.rows.values() if isinstance(row, Merged)]
    assert [(row.merged.id, row.why, row.request_id) for row in journal] == [
        (A, "airy", "contacts-0-0"),
        (C, "airy", "contacts-0-0"),
    ]
    assert isinstance(table.apply(make_unmerge(C)), Decision)
    before = dict(table.rows)
    table.tell(*rows(B, facts(created_at=None, merged=sources)), make_row_received(B, make_fact("created_at", at_ms=7)))
    changed = {key for key, row in table.rows.items() if before.get(key) != row}
    assert {type(key).__name__ for key in changed} <= {"AiryContactKey"}


def test_two_accounts_do_not_become_one_by_a_merge_in_airy() -> None:
    table = AiryTable()
    said = table.add(A, external_id="u1")
    table.add(B, external_id="u2")
    table.identify(external_id="u1")
    table.identify(external_id="u2", new_id=NEXT_CHAT)
    gone, history = merged_in_airy(A, B, external_id="u1")
    table.tell(history, *tombstones(A, said), *gone)
    assert {contact.id: contact.external_id for contact in table.contacts} == {A: "u1", B: "u2"}


def test_an_account_that_was_put_aside_comes_back_when_it_may_not_end_in_another() -> None:
    table = AiryTable()
    said = table.add(A, external_id="u1")
    table.add(B, external_id="u2")
    table.identify(external_id="u1")
    table.identify(external_id="u2", new_id=NEXT_CHAT)
    _, history = merged_in_airy(A, B, external_id="u1")
    table.tell(*tombstones(A, said), history)
    assert table.identify(external_id="u1").contact.id == A
    assert table.rows[ConversationOwnerKey(tenant=TENANT, conversation_id=OWN_CHAT)] == Owner(contact_id=A)


def test_separated_contacts_and_those_too_large_do_not_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(B, phone="+491")
    table.apply(make_merge(A, B))
    table.apply(make_unmerge(A))
    _, history = merged_in_airy(A, B)
    table.tell(history)
    assert {contact.id for contact in table.contacts} == {A, B}
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(B, phone="+491")
    table.identify(email="a@b.cd")
    monkeypatch.setattr(merging, "ALIASES_MAX", 0)
    table.tell(history)
    assert [contact.id for contact in table.contacts] == [A]


def test_a_merge_of_what_airy_has_of_an_alias_does_not_speak_for_the_contact() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", chats=[CHAT])
    table.tell(make_conversation_seen(CHAT))
    table.identify(email="a@b.cd")
    table.add(B, phone="+491")
    table.add(C, phone="+492")
    table.apply(make_merge(C, A))
    _, history = merged_in_airy(C, B)
    table.tell(history)
    assert [contact.id for contact in table.contacts] == [A]
    table.identify(phone_number="+491", new_id=NEXT_CHAT)
    _, history = merged_in_airy(B, C)
    table.tell(history)
    assert {contact.id for contact in table.contacts} == {A, B}


def test_one_that_is_not_to_be_seen_takes_nobody_in() -> None:
    table = AiryTable()
    table.add(B, external_id="u2")
    table.add(C, external_id="u3")
    table.identify(external_id="u2")
    table.tell(make_row_received(B, make_fact("mergeHistory", merged=(make_airy_source(C, external_id="u3"),))))
    table.add(A, email="a@b.cd")
    table.identify(email="a@b.cd", new_id=NEXT_CHAT)
    _, history = merged_in_airy(A, C)
    table.tell(history)
    assert {contact.id for contact in table.contacts} == {A, B}


def test_somebody_forgotten_takes_nobody_in_and_is_taken_in_by_nobody() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(B, phone="+491")
    table.identify(email="a@b.cd")
    table.apply(make_forget(B))
    _, history = merged_in_airy(A, B)
    table.tell(*rows(B, facts()), history)
    assert table.identify(email="a@b.cd").contact.id == A
    table.apply(make_forget(A))
    _, history = merged_in_airy(A, C)
    table.tell(*rows(C, facts(phone="+492")), history)
    slip = table.identify(phone_number="+492", new_id=NEXT_CHAT)
    assert (slip.contact.id, stored(table, C).aliases[-1]) == (C, from_name(NEXT_CHAT))


def test_one_that_went_came_back_and_goes_again_stands_in_the_queue_once() -> None:
    table = AiryTable()
    said = table.add(A, external_id="u1")
    table.add(B, external_id="u2")
    table.identify(external_id="u1")
    table.identify(external_id="u2", new_id=NEXT_CHAT)
    _, history = merged_in_airy(A, B, external_id="u1")
    table.tell(*tombstones(A, said), history)
    gone = table.gone(A)
    assert isinstance(gone, Gone)
    assert gone.contact is None
    table.tell(
        *rows(A, said), make_tombstone(B, "mergeHistory"), *tombstones(A, said, accepted_at_ms=ACCEPTED_AT_MS + 5)
    )
    gone = table.gone(A)
    assert isinstance(gone, Gone)
    assert gone.gone_at_ms == ACCEPTED_AT_MS + 5
    assert gone.contact is not None
    assert table.rows[GoneQueueKey(tenant=TENANT)] == GoneQueue(first=A, last=A)
    table.tell(make_row_received(None, None, record_key="x", accepted_at_ms=DAY_LATER_MS + 5))
    assert table.gone(A) is None
