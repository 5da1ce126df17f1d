"""What an identify request makes of several contacts that it matches."""

from typing import Any

import pytest

from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.values import AliasKey, Contact, ContactId, ContactKey, JournalKey, Merged, Owner
from tests.builders import (
    ACCEPTED_AT_MS,
    TENANT,
    make_contact,
    make_contact_conversation,
    make_email,
    make_identify_command,
    make_merged,
    make_separation,
)
from tests.tables import InMemoryIdentityTable, make_table

LATER_MS = ACCEPTED_AT_MS + 1000
DEVICE = {"device": "d"}


def chat(name: str) -> tuple[Any, ...]:
    return (make_contact_conversation(id=f"chat-{name}"),)


def person(name: str, **over: Any) -> Contact:
    return make_contact(**{"id": name, "known": True, "conversations": chat(name)} | over)


def anonymous(name: str, **over: Any) -> Contact:
    return person(name, **{"known": False, "identifiers": DEVICE} | over)


def apply(table: InMemoryIdentityTable, **over: Any) -> ResumeSlip:
    decision = table.apply(make_identify_command(**{"accepted_at_ms": LATER_MS, "request_id": "request-7"} | over))
    assert isinstance(decision, Decision)
    assert isinstance(decision.slip, ResumeSlip)
    return decision.slip


def row(table: InMemoryIdentityTable, name: str) -> Any:
    return table.rows.get(ContactKey(tenant=TENANT, contact_id=ContactId(name)))


def journal(table: InMemoryIdentityTable, number: int = 0) -> Merged:
    found = table.journal(JournalKey(tenant=TENANT, contact_id=ContactId("hard"), number=number))
    assert found is not None
    return found


def test_an_anonymous_contact_ends_in_whoever_logs_in() -> None:
    hard, visitor = person("hard", external_id="u1"), anonymous("visitor")
    table = make_table(hard, visitor)
    table.offset = 40
    slip = apply(table, external_id="u1", identifiers=DEVICE)
    assert (slip.contact.id, slip.merged, slip.warnings, slip.created_contact) == ("hard", ("visitor",), (), False)
    assert [conversation.id for conversation in slip.pending] == ["chat-hard", "chat-visitor"]
    assert row(table, "visitor") is None
    assert table.rows[AliasKey(tenant=TENANT, contact_id=ContactId("visitor"))] == Owner(contact_id=ContactId("hard"))
    assert table.holder("device", "d") == "hard"
    assert journal(table) == make_merged(
        survivor=hard,
        merged=visitor,
        merged_at_ms=LATER_MS,
        why="identifiers.device",
        request_id="request-7",
        offset=40,
        alone=True,
    )


def test_a_merge_that_came_with_another_change_is_not_alone() -> None:
    table = make_table(person("hard", external_id="u1", email="old@b.cd"), anonymous("visitor"))
    apply(table, external_id="u1", email="new@b.cd", phone_number="+491", identifiers=DEVICE)
    assert journal(table) == make_merged(
        survivor=journal(table).survivor,
        merged=journal(table).merged,
        merged_at_ms=LATER_MS,
        why="identifiers.device",
        request_id="request-7",
        alone=False,
        replaced_email=make_email("old@b.cd"),
    )


def test_two_merges_of_one_request_have_a_row_each_and_are_not_alone() -> None:
    hard, by_email, visitor = person("hard", external_id="u1"), person("mail", email="a@b.cd"), anonymous("visitor")
    table = make_table(hard, by_email, visitor)
    slip = apply(table, external_id="u1", email="a@b.cd", identifiers=DEVICE)
    assert slip.merged == ("mail", "visitor")
    rows = [journal(table, number) for number in (0, 1)]
    assert [(row.merged.id, row.survivor.merge_count, row.alone, row.why) for row in rows] == [
        ("mail", 0, False, "email"),
        ("visitor", 1, False, "identifiers.device"),
    ]
    assert table.contacts[0].merge_count == 2


def test_a_soft_contact_ends_in_the_one_with_the_higher_ranked_key() -> None:
    table = make_table(person("mail", email="a@b.cd"), person("phone", phone_number="+491", created_at_ms=1))
    slip = apply(table, email="a@b.cd", phone_number="+491")
    assert (slip.contact.id, slip.merged) == ("mail", ("phone",))
    assert slip.contact.created_at_ms == 1


def test_a_soft_contact_ends_in_the_one_hard_match() -> None:
    table = make_table(person("mail", email="a@b.cd"), person("hard", external_id="u1", phone_number="+491"))
    slip = apply(table, email="a@b.cd", phone_number="+491")
    assert (slip.contact.id, slip.merged, slip.contact.email) == ("hard", ("mail",), "a@b.cd")


def test_of_several_that_one_kind_brings_the_older_merges_first() -> None:
    table = make_table(
        person("hard", external_id="u1"),
        anonymous("young", identifiers={"device": "d1"}, created_at_ms=9),
        anonymous("old", identifiers={"device": "d2"}, created_at_ms=8),
    )
    assert apply(table, external_id="u1", identifiers={"device": ["d1", "d2"]}).merged == ("old", "young")


def test_a_contact_with_another_email_than_the_target_stays() -> None:
    table = make_table(
        person("hard", external_id="u1", email="hard@b.cd"), person("phone", email="soft@b.cd", phone_number="+491")
    )
    slip = apply(table, external_id="u1", phone_number="+491")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == ((), ["phone_number"])
    assert slip.contact.phone_number is None


def test_what_the_target_will_hold_counts_not_what_it_holds() -> None:
    table = make_table(
        person("hard", external_id="u1", email="hard@b.cd"), person("phone", email="new@b.cd", phone_number="+491")
    )
    slip = apply(table, external_id="u1", email="new@b.cd", phone_number="+491")
    assert (slip.merged, slip.contact.email, slip.contact.phone_number) == (("phone",), "new@b.cd", "+491")


def test_the_emails_of_somebody_who_stays_is_not_what_the_target_will_hold() -> None:
    table = make_table(
        person("hard", external_id="u1"),
        person("other", external_id="u2", email="other@b.cd"),
        person("phone", phone_number="+491"),
    )
    slip = apply(table, external_id="u1", email="other@b.cd", phone_number="+491")
    assert (slip.merged, slip.contact.email) == (("phone",), None)
    assert [warning.field for warning in slip.warnings] == ["email"]


def test_a_separated_contact_stays_and_its_values_are_conflicts() -> None:
    table = make_table(
        person("hard", external_id="u1", separations=(make_separation("hard", "soft"),)),
        person("soft", phone_number="+491", separations=(make_separation("soft", "hard"),)),
    )
    slip = apply(table, external_id="u1", phone_number="+491")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == ((), ["phone_number"])


def test_separated_from_what_the_target_took_in_earlier_in_this_request_stays_too() -> None:
    table = make_table(
        person("hard", external_id="u1"),
        person("mail", email="a@b.cd", separations=(make_separation("mail", "phone"),)),
        person("phone", phone_number="+491", separations=(make_separation("phone", "mail"),)),
    )
    slip = apply(table, external_id="u1", email="a@b.cd", phone_number="+491")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == (("mail",), ["phone_number"])


def test_a_contact_that_is_too_large_to_merge_stays() -> None:
    aliases = tuple(f"a{number}" for number in range(1000))
    table = make_table(person("hard", external_id="u1"), person("mail", email="a@b.cd", aliases=aliases))
    slip = apply(table, external_id="u1", email="a@b.cd")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == ((), ["email"])


def test_a_device_of_an_anonymous_contact_that_stays_is_taken_over() -> None:
    aliases = tuple(f"a{number}" for number in range(1000))
    table = make_table(person("hard", external_id="u1"), anonymous("visitor", aliases=aliases))
    slip = apply(table, external_id="u1", identifiers=DEVICE)
    assert (slip.merged, slip.warnings) == ((), ())
    assert table.holder("device", "d") == "hard"
    assert row(table, "visitor").identifiers == ()


def test_a_named_value_that_dropped_out_of_a_merge_comes_back() -> None:
    table = make_table(
        person("hard", external_id="u1", identifiers={"device": [f"d{number}" for number in range(5)]}),
        anonymous("visitor", identifiers={"device": "d9"}),
    )
    slip = apply(table, external_id="u1", identifiers={"device": "d9"})
    assert slip.merged == ("visitor",)
    assert slip.contact.identifiers[0].values == ("d1", "d2", "d3", "d4", "d9")
    assert table.holder("device", "d0") is None
    assert table.holder("device", "d9") == "hard"


def test_hard_contacts_never_merge_by_themselves() -> None:
    table = make_table(person("one", external_id="u1"), person("two", external_id="u2", email="a@b.cd"))
    slip = apply(table, external_id="u1", email="a@b.cd")
    assert (slip.merged, [warning.field for warning in slip.warnings]) == ((), ["email"])


def test_a_new_conversation_is_not_minted_when_a_merge_brings_one() -> None:
    table = make_table(person("hard", external_id="u1", conversations=()), anonymous("visitor"))
    slip = apply(table, external_id="u1", identifiers=DEVICE)
    assert (slip.created_conversation, slip.minted) == (False, None)
    assert [conversation.id for conversation in slip.pending] == ["chat-visitor"]


def test_a_new_contact_that_takes_others_in_has_their_conversations() -> None:
    """Both know each other's e-mails only as contradictions: the device's contact is free to go."""
    table = make_table(
        person("phone", email="old@b.cd", phone_number="+491"),
        anonymous("visitor"),
    )
    slip = apply(table, email="new@b.cd", phone_number="+491", identifiers=DEVICE)
    assert (slip.contact.id, slip.created_contact, [warning.field for warning in slip.warnings]) == (
        "visitor",
        False,
        ["phone_number"],
    )


def test_a_dry_run_says_what_would_merge_and_writes_nothing() -> None:
    table = make_table(person("hard", external_id="u1"), anonymous("visitor"))
    before = dict(table.rows)
    slip = apply(table, external_id="u1", identifiers=DEVICE, dry_run=True)
    assert slip.merged == ("visitor",)
    assert table.rows == before


# Why


def explained(table: InMemoryIdentityTable, **over: Any) -> tuple[str, str | None, list[tuple[str, str | None, str]]]:
    explanation = apply(table, explain=True, **over).explanation
    assert explanation is not None
    assert all(key.why for key in explanation.keys)
    keys = [(key.field, None if key.level is None else key.level.value, key.outcome.value) for key in explanation.keys]
    return explanation.target.value, explanation.by, keys


def test_an_explanation_says_what_became_of_each_value() -> None:
    table = make_table(
        person("hard", external_id="u1"),
        person("mail", email="a@b.cd"),
        person("phone", external_id="u2", phone_number="+491"),
        anonymous("visitor", identifiers={"cookie": "c"}),
        person("device", identifiers=DEVICE, external_id="u3"),
    )
    assert explained(
        table,
        external_id="u1",
        email="a@b.cd",
        phone_number="+491",
        identifiers={"cookie": "c", "device": "d", "app": "a"},
    ) == (
        "found",
        "external_id",
        [
            ("external_id", "hard", "matched"),
            ("email", "known", "merged"),
            ("phone_number", "hard", "conflict"),
            ("identifiers.app", None, "added"),
            ("identifiers.cookie", "anonymous", "merged"),
            ("identifiers.device", "hard", "taken_over"),
        ],
    )


def test_an_explanation_of_a_new_contact_names_no_field() -> None:
    unverified = make_email("a@b.cd", verified=False)
    assert explained(make_table(), external_id="u1", email=unverified, phone_number="+491") == (
        "created",
        None,
        [("external_id", None, "added"), ("email", None, "unverified"), ("phone_number", None, "added")],
    )


def test_a_value_that_came_with_a_merge_and_dropped_out_is_merged() -> None:
    table = make_table(
        person("hard", external_id="u1", identifiers={"device": [f"d{number}" for number in range(5)]}),
        anonymous("visitor", identifiers={"device": "d9"}),
    )
    _, _, keys = explained(table, external_id="u1", identifiers={"device": "d9"})
    assert keys[-1] == ("identifiers.device", "anonymous", "merged")


@pytest.mark.parametrize("explain", [False, True])
def test_an_explanation_is_given_when_asked_for(*, explain: bool) -> None:
    slip = apply(make_table(), external_id="u1", explain=explain)
    assert (slip.explanation is not None) is explain
