from typing import Any

import pytest

from airy_identify.core import merging
from airy_identify.core.answers import ContactRestored, Decision, ResumeSlip
from airy_identify.core.commands import Command
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    Contact,
    ContactId,
    ContactKey,
    Forgotten,
    IdentityKey,
    IdentityRow,
    JournalKey,
    Separation,
)
from tests.builders import (
    ACCEPTED_AT_MS,
    CHANNEL_ID,
    NEW_ID,
    OTHER_CHANNEL_ID,
    TENANT,
    make_contact,
    make_contact_conversation,
    make_custom,
    make_email,
    make_forget,
    make_identify_command,
    make_merge,
    make_phone_number,
    make_release,
    make_separation,
    make_unmerge,
)
from tests.tables import InMemoryIdentityTable, make_table

LATER_MS = ACCEPTED_AT_MS + 1000
AFTER_MS = ACCEPTED_AT_MS + 2000
DEVICE = {"device": "d"}


def person(name: str, **over: Any) -> Contact:
    chat = make_contact_conversation(id=f"chat-{name}")
    return make_contact(**{"id": name, "known": True, "conversations": (chat,)} | over)


def apply(table: InMemoryIdentityTable, command: Command) -> Decision:
    decision = table.apply(command)
    assert isinstance(decision, Decision), decision
    return decision


def unmerge(table: InMemoryIdentityTable, name: str) -> ContactRestored:
    answer = apply(table, make_unmerge(name, accepted_at_ms=AFTER_MS)).answer
    assert isinstance(answer, ContactRestored)
    return answer


def refused(table: InMemoryIdentityTable, name: str) -> tuple[Reason, str | None]:
    before = dict(table.rows)
    rejected = table.apply(make_unmerge(name))
    assert isinstance(rejected, Rejected), rejected
    assert table.rows == before
    return rejected.reason, rejected.field


def identify(table: InMemoryIdentityTable, **over: Any) -> ResumeSlip:
    slip = apply(table, make_identify_command(**{"accepted_at_ms": LATER_MS} | over)).slip
    assert isinstance(slip, ResumeSlip)
    return slip


def contact(table: InMemoryIdentityTable, name: str) -> Contact:
    found = table.contact(ContactKey(tenant=TENANT, contact_id=ContactId(name)))
    assert isinstance(found, Contact)
    return found


def apart_from_marks(table: InMemoryIdentityTable) -> dict[IdentityKey, IdentityRow]:
    """Return the rows without what an unmerge may leave: separations and the level mark."""
    plain: dict[str, Any] = {"separations": (), "known": True}
    return {
        key: Contact(**{name: getattr(row, name) for name in row.__slots__} | plain)
        if isinstance(row, Contact)
        else row
        for key, row in table.rows.items()
    }


# As it was


def test_merge_then_unmerge_of_untouched_contacts_is_as_before() -> None:
    table = make_table(
        person("hard", external_id="u1", email="a@b.cd", identifiers={"device": [f"d{n}" for n in range(5)]}),
        person(
            "source",
            external_id="u2",
            email=make_email("s@b.cd"),
            phone_number="+491",
            identifiers={"device": ["x1", "x2"]},
            aliases=("old",),
            metadata={"plan": "pro"},
            created_at_ms=5,
        ),
    )
    before = apart_from_marks(table)
    apply(table, make_merge("source", "hard", accepted_at_ms=LATER_MS))
    answer = unmerge(table, "source")
    assert apart_from_marks(table) == before
    assert (answer.contact.id, answer.restored.id) == ("hard", "source")
    assert answer.contact.updated_at_ms == ACCEPTED_AT_MS
    assert contact(table, "hard").separations == (make_separation("hard", "source"),)
    assert contact(table, "source").separations == (make_separation("source", "hard"),)


def test_a_merge_by_a_request_that_wrote_nothing_else_is_undone_exactly() -> None:
    table = make_table(person("hard", external_id="u1"), person("visitor", known=False, identifiers=DEVICE))
    before = apart_from_marks(table)
    identify(table, external_id="u1", identifiers=DEVICE)
    unmerge(table, "visitor")
    assert apart_from_marks(table) == before


def test_whoever_comes_back_is_known_and_the_survivor_keeps_its_mark() -> None:
    table = make_table(make_contact(id="a"), make_contact(id="b"))
    apply(table, make_merge("b", "a"))
    unmerge(table, "b")
    assert (contact(table, "a").known, contact(table, "b").known) == (False, True)
    table = make_table(make_contact(id="a"), make_contact(id="b", email="b@b.cd", known=True))
    apply(table, make_merge("b", "a"))
    unmerge(table, "b")
    assert contact(table, "a").known


def test_the_merge_before_it_is_the_latest_then() -> None:
    table = make_table(*(make_contact(id=name) for name in "abc"))
    apply(table, make_merge("b", "a"))
    apply(table, make_merge("c", "a"))
    assert refused(table, "b") == (Reason.NOT_LATEST_MERGE, "contact_id")
    unmerge(table, "c")
    unmerge(table, "b")
    assert not [key for key in table.rows if isinstance(key, JournalKey)]
    assert refused(table, "b") == (Reason.NOT_LATEST_MERGE, "contact_id")


def test_a_contact_that_came_back_has_its_own_merges_again() -> None:
    table = make_table(*(make_contact(id=name) for name in "abc"))
    apply(table, make_merge("c", "b"))
    apply(table, make_merge("b", "a"))
    assert refused(table, "c") == (Reason.NOT_LATEST_MERGE, "contact_id")
    unmerge(table, "b")
    assert unmerge(table, "c").contact.id == "b"
    assert {row.id for row in table.contacts} == {"a", "b", "c"}


@pytest.mark.parametrize("name", ["a", "alias"])
def test_only_the_contact_that_ended_can_be_named(name: str) -> None:
    table = make_table(make_contact(id="a", aliases=("alias",)), make_contact(id="b"))
    assert refused(table, name) == (Reason.NOT_LATEST_MERGE, "contact_id")
    apply(table, make_merge("b", "a"))
    assert refused(table, name) == (Reason.NOT_LATEST_MERGE, "contact_id")


def test_unmerging_whom_nobody_knows_is_refused() -> None:
    table = make_table()
    table.rows[ContactKey(tenant=TENANT, contact_id=ContactId("gone"))] = Forgotten()
    for name in ("nobody", "gone"):
        assert refused(table, name) == (Reason.UNKNOWN_CONTACT, "contact_id")


def test_a_third_contact_that_came_and_went_does_not_touch_the_two() -> None:
    """It leaves the survivor known and with a separation, which is no change of what was merged."""
    table = make_table(
        make_contact(id="a", email=make_email("a@b.cd", verified=False)),
        make_contact(id="b", email=make_email("b@b.cd", verified=False), metadata={"plan": "pro"}),
        person("c", external_id="u1"),
    )
    before = apart_from_marks(table)
    apply(table, make_merge("b", "a", accepted_at_ms=LATER_MS))
    apply(table, make_merge("c", "a", accepted_at_ms=LATER_MS))
    unmerge(table, "c")
    unmerge(table, "b")
    assert apart_from_marks(table) == before
    assert separations(table, "a") == {make_separation("a", "b"), make_separation("a", "c")}


def test_a_separation_that_was_forgotten_does_not_touch_the_two() -> None:
    table = make_table(person("a", email="a@b.cd"), person("b", email="b@b.cd"), person("c"))
    apply(table, make_merge("c", "a"))
    unmerge(table, "c")
    apply(table, make_merge("b", "a", accepted_at_ms=LATER_MS))
    apply(table, make_forget("c"))
    unmerge(table, "b")
    assert contact(table, "b").email == make_email("b@b.cd")
    assert contact(table, "a").updated_at_ms == ACCEPTED_AT_MS


def test_a_merge_that_newer_limits_would_not_allow_is_undone_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_table(person("a", email="a@b.cd"), person("b", email="b@b.cd"))
    apply(table, make_merge("b", "a", accepted_at_ms=LATER_MS))
    monkeypatch.setattr(merging, "CONVERSATIONS_MAX", 1)
    unmerge(table, "b")
    assert (contact(table, "b").email, contact(table, "a").updated_at_ms) == (None, AFTER_MS)
    assert [each.id for each in contact(table, "b").conversations] == ["chat-b"]


# By value


def test_what_went_on_since_is_undone_by_value() -> None:
    table = make_table(
        person("hard", external_id="u1", email="old@b.cd", phone_number="+491", created_at_ms=9),
        person(
            "visitor",
            known=False,
            identifiers={"device": ["d", "e"]},
            created_at_ms=5,
            metadata={
                "plan": "pro",
                "city": "Ulm",
                "deep": {"a": 1, "b": {"c": 2}},
                "flat": {"x": 1},
                "n": 1,
                "left": 1,
            },
        ),
    )
    identify(
        table,
        external_id="u1",
        email="new@b.cd",
        phone_number="+492",
        identifiers=DEVICE,
        metadata={"city": "Bonn", "deep": {"a": 3}, "flat": "now", "n": True, "left": None},
    )
    apply(table, make_release("hard", "email", "new@b.cd"))
    identify(table, external_id="u1", channel_id=OTHER_CHANNEL_ID)
    answer = unmerge(table, "visitor")
    hard, visitor = contact(table, "hard"), contact(table, "visitor")
    assert (hard.email, hard.phone_number) == (make_email("old@b.cd"), make_phone_number("+492"))
    assert (hard.created_at_ms, hard.updated_at_ms, hard.merge_count) == (9, AFTER_MS, 0)
    assert hard.metadata == {"city": "Bonn", "deep": {"a": 3}, "flat": "now", "n": True}
    assert [each.channel_id for each in hard.conversations] == [CHANNEL_ID, OTHER_CHANNEL_ID]
    assert [each.id for each in visitor.conversations] == ["chat-visitor"]
    assert visitor.metadata == answer.restored.metadata
    assert (visitor.identifiers, hard.identifiers) == (make_custom({"device": ["d", "e"]}), ())
    assert (visitor.created_at_ms, visitor.updated_at_ms, visitor.known) == (5, ACCEPTED_AT_MS, True)
    assert table.holder("email", "old@b.cd") == "hard"
    assert table.holder("device", "d") == "visitor"


def test_each_keeps_its_own_aliases_and_conversations() -> None:
    table = make_table(person("a", external_id="u1", aliases=("a2",)), person("b", aliases=("b2",)))
    apply(table, make_merge("b", "a"))
    identify(table, external_id="u1", channel_id=OTHER_CHANNEL_ID)
    unmerge(table, "b")
    assert contact(table, "a").aliases[0] == "a2"
    assert len(contact(table, "a").aliases) == 2
    assert contact(table, "b").aliases == ("b2",)
    assert [each.id for each in contact(table, "a").conversations] == ["chat-a", NEW_ID]


def test_an_object_that_is_left_empty_leaves_too_but_one_that_was_empty_stays() -> None:
    table = make_table(
        person("hard", external_id="u1"),
        person("visitor", known=False, identifiers=DEVICE, metadata={"deep": {"a": {"b": 1}}, "empty": {"x": 1}}),
    )
    identify(table, external_id="u1", identifiers=DEVICE, metadata={"deep": {"a": {"b": 2}}, "empty": {"x": None}})
    identify(table, external_id="u1", metadata={"deep": {"a": {"b": None}, "e": {}}})
    unmerge(table, "visitor")
    assert contact(table, "hard").metadata == {"deep": {"a": {}, "e": {}}, "empty": {}}
    table = make_table(
        person("hard", external_id="u1"),
        person("visitor", known=False, identifiers=DEVICE, metadata={"deep": {"a": {"b": 1}, "c": 2}}),
    )
    identify(table, external_id="u1", identifiers=DEVICE, email="a@b.cd")
    identify(table, external_id="u1", metadata={"deep": {"c": None}})
    unmerge(table, "visitor")
    assert contact(table, "hard").metadata == {}


def test_values_that_went_elsewhere_do_not_come_back() -> None:
    table = make_table(
        person("hard", external_id="u1", email="old@b.cd", phone_number="+491"),
        person("visitor", known=False, identifiers=DEVICE),
    )
    identify(table, external_id="u1", email="new@b.cd", phone_number="+492", identifiers=DEVICE)
    identify(table, external_id="u2", email="old@b.cd", phone_number="+491", identifiers=DEVICE, new_id="new-2")
    for kind, value in (("email", "new@b.cd"), ("phone_number", "+492")):
        apply(table, make_release("hard", kind, value))
    unmerge(table, "visitor")
    assert (contact(table, "hard").email, contact(table, "hard").phone_number) == (None, None)
    assert contact(table, "visitor").identifiers == ()
    assert table.holder("device", "d") != "visitor"


def test_values_that_the_survivor_lost_since_do_not_come_back_either() -> None:
    table = make_table(person("hard", external_id="u1"), person("mail", email="a@b.cd", phone_number="+491"))
    apply(table, make_merge("mail", "hard"))
    apply(table, make_release("hard", "email", "a@b.cd"))
    unmerge(table, "mail")
    assert (contact(table, "mail").email, contact(table, "mail").phone_number) == (None, make_phone_number("+491"))
    assert contact(table, "hard").phone_number is None


def test_a_value_that_lost_in_the_merge_and_is_somebody_elses_now_is_not_undone_exactly() -> None:
    table = make_table(person("hard", external_id="u1", email="a@b.cd"), person("mail", email="lost@b.cd"))
    apply(table, make_merge("mail", "hard"))
    assert table.holder("email", "lost@b.cd") is None
    identify(table, external_id="u9", email="lost@b.cd", new_id="new-9")
    unmerge(table, "mail")
    assert contact(table, "mail").email is None
    assert table.holder("email", "lost@b.cd") not in {"mail", "hard"}


# Separated


def separations(table: InMemoryIdentityTable, name: str) -> set[Separation]:
    return set(contact(table, name).separations)


def test_separated_contacts_never_merge_by_themselves_again() -> None:
    table = make_table(person("hard", external_id="u1"), person("mail", email="a@b.cd"))
    apply(table, make_merge("mail", "hard"))
    unmerge(table, "mail")
    slip = identify(table, external_id="u1", email="a@b.cd")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == ((), ["email"])


def test_nor_do_those_that_take_them_in() -> None:
    table = make_table(person("hard", external_id="u1"), person("mail", email="a@b.cd"), person("third"))
    apply(table, make_merge("mail", "hard"))
    unmerge(table, "mail")
    apply(table, make_merge("mail", "third"))
    slip = identify(table, external_id="u1", email="a@b.cd")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == ((), ["email"])


def test_nor_do_they_end_in_those_that_took_the_other_in() -> None:
    table = make_table(
        person("hard", external_id="u1"), person("mail", email="a@b.cd"), person("third", external_id="u3")
    )
    apply(table, make_merge("mail", "hard"))
    unmerge(table, "mail")
    apply(table, make_merge("hard", "third"))
    slip = identify(table, external_id="u3", email="a@b.cd")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == ((), ["email"])


def test_each_takes_along_the_separations_of_its_own_ids() -> None:
    table = make_table(*(make_contact(id=name) for name in ("a", "b", "c", "d")))
    for other, survivor in (("b", "a"), ("d", "c")):
        apply(table, make_merge(other, survivor))
        unmerge(table, other)
    apply(table, make_merge("d", "a"))
    unmerge(table, "d")
    assert separations(table, "a") == {make_separation("a", "b"), make_separation("a", "d")}
    assert separations(table, "d") == {make_separation("d", "c"), make_separation("d", "a")}
