from collections.abc import Mapping
from typing import Any

import pytest

from airy_identify.core.contacts_out import (
    ATTRIBUTES,
    AiryWrite,
    Change,
    default_names,
    facts_by_key,
    is_java_uuid,
    restated,
    writes_of,
)
from airy_identify.core.values import AiryContact, AiryFact, AiryIdentifiers, Contact, ContactId
from tests.builders import make_contact, make_contact_conversation, make_email, make_phone_number

ADA = "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff"
BOB = "51abb963-6078-5efb-b888-d8457a7c76f8"
CHAT = "98ce13ef-5469-4db3-af62-579be61cfaa4"
OTHER_CHAT = "11ce13ef-5469-4db3-af62-579be61cfbb5"
AT_MS = 5_000
CREATED_MS = 1_000


def a_contact(*chats: str, **over: Any) -> Contact:
    conversations = tuple(make_contact_conversation(id=chat) for chat in chats)
    return make_contact(**{"id": ADA, "created_at_ms": CREATED_MS, "conversations": conversations} | over)


def facts(*known: AiryFact) -> Mapping[str, AiryFact]:
    return {fact.key: fact for fact in known}


def writes(
    before: Contact | None,
    after: Contact | None,
    *,
    into: Contact | None = None,
    known: Mapping[str, Mapping[str, AiryFact]] | None = None,
    adopted: tuple[str, ...] = (),
) -> tuple[AiryWrite, ...]:
    def facts_of(contact_id: ContactId) -> Mapping[str, AiryFact]:
        if known is None:  # all that was written has come back
            return {row.key: AiryFact(key=row.key, own=True) for row in written_before}
        return known.get(contact_id, {})

    written_before: tuple[AiryWrite, ...] = ()
    if known is None and before is not None:
        change = Change(contact_id=before.id, after=before)
        written_before = writes_of([change], at_ms=1, facts_of=lambda _: {})
    contact = before or after
    change = Change(
        contact_id=ContactId(ADA) if contact is None else contact.id,
        before=before,
        after=after,
        into=into,
        adopted=frozenset(adopted),
    )
    return writes_of([change], at_ms=AT_MS, facts_of=facts_of)


def values(rows: tuple[AiryWrite, ...]) -> dict[str, str | None]:
    assert len({(row.contact_id, row.key) for row in rows}) == len(rows)
    return {row.key: row.value for row in rows}


def test_a_new_contact_is_written_whole() -> None:
    contact = a_contact(
        CHAT,
        external_id="u1",
        email="ada@example.org",
        phone_number=make_phone_number("+5215512345678", key="+525512345678"),
        metadata={"display_name": " Ada L. ", "avatar_url": "https://a"},
    )
    rows = writes(None, contact)
    assert values(rows) == {
        "displayName": "Ada L.",
        "created_at": "1000",
        "avatarUrl": "https://a",
        "via.external_id": "u1",
        "via.email": "ada@example.org",
        "via.phone": "+5215512345678",
        f"conversations.{CHAT}": "chatplugin",
    }
    assert {row.timestamp_ms for row in rows if row.key != "created_at"} == {AT_MS}
    assert [row.timestamp_ms for row in rows if row.key == "created_at"] == [CREATED_MS]


def test_a_record_has_the_key_that_airy_gives_it() -> None:
    row = AiryWrite(contact_id=ContactId("98ce13ef"), key="displayName", value="x", timestamp_ms=1)
    assert row.subject == "contact:98ce13ef"
    assert row.record_key == "84e20cbc-d03a-5378-a366-3d48fb9bb4a8"


def test_no_change_is_no_row() -> None:
    contact = a_contact(CHAT, external_id="u1")
    assert writes(contact, contact) == ()
    assert writes(contact, a_contact(CHAT, external_id="u1", metadata={"plan": "pro"}, updated_at_ms=9)) == ()


def test_only_what_changed_is_written_and_what_went_is_deleted_first() -> None:
    before = a_contact(CHAT, email="a@b.cd", phone_number="+491")
    after = a_contact(CHAT, OTHER_CHAT, phone_number="+492")
    assert values(writes(before, after)) == {
        "via.email": None,
        "via.phone": "+492",
        f"conversations.{OTHER_CHAT}": "chatplugin",
    }
    assert writes(before, after)[0].value is None


def test_what_airy_does_not_have_is_written_with_the_first_change() -> None:
    before, after = a_contact(CHAT), a_contact(CHAT, external_id="u1")
    held = {ADA: facts(AiryFact(key="displayName", own=True))}
    assert set(values(writes(before, after, known=held))) == {
        "created_at",
        "via.external_id",
        f"conversations.{CHAT}",
    }


def test_values_that_nobody_vouched_for_are_not_written() -> None:
    email, phone = make_email("a@b.cd", verified=False), make_phone_number("+491", key="+491", verified=False)
    assert {"via.email", "via.phone"}.isdisjoint(values(writes(None, a_contact(email=email, phone_number=phone))))
    verified = a_contact(email="a@b.cd")
    assert values(writes(verified, a_contact(email=email))) == {"via.email": None}


def test_names_in_order_of_what_is_known() -> None:
    def named(**metadata: Any) -> str | None:
        return values(writes(None, a_contact(CHAT, OTHER_CHAT, metadata=metadata)))["displayName"]

    assert named(display_name="Ada", first_name="A.", last_name="L.") == "Ada"
    assert named(display_name=" ", first_name="A.", last_name="L.") == "A. L."
    assert named(display_name=7, last_name="L.") == "L."
    assert named() == "Chatplugin cfaa4"
    assert values(writes(None, a_contact()))["displayName"] == "Contact 7e9ff"


def test_airy_names_visitors_by_the_last_part_of_their_source() -> None:
    sms = make_contact_conversation(id=CHAT, source="twilio.sms")
    assert default_names(a_contact(conversations=(sms,))) == ["Sms cfaa4"]


def test_blank_values_would_delete_a_row_and_are_none() -> None:
    assert "avatarUrl" not in values(writes(None, a_contact(metadata={"avatar_url": "  "})))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (ADA, True),
        (ADA.upper(), False),
        (ADA.replace("-", ""), False),
        (f"{{{ADA}}}", False),
        ("contact-1", False),
        ("", False),
    ],
)
def test_ids_that_java_would_write_in_another_way_are_not_written(text: str, *, right: bool) -> None:
    assert is_java_uuid(text) is right
    assert bool(writes(None, a_contact(CHAT, id=text))) is right
    assert (restated(a_contact(CHAT, id=text), at_ms=1) is not None) is right
    assert (f"conversations.{text}" in values(writes(None, a_contact(text)))) is right
    assert (restated(a_contact(text), at_ms=1) is not None) is right


def test_who_ended_in_another_loses_every_row_and_what_only_airy_said_goes_on() -> None:
    ended = a_contact(CHAT, external_id="u1")
    into = a_contact(CHAT, id=BOB)
    said = {
        "displayName": "Ada",
        "title": "Dr.",
        "via.crm": "7",
        "locale": "de",
        f"conversations.{OTHER_CHAT}": "facebook",
    }
    ours = AiryFact(key=f"conversations.{CHAT}", text="chatplugin", own=True)
    unusable = AiryFact(key="conversations.no uuid", text="facebook")
    there = AiryFact(key="locale", text="en")
    held = {
        ADA: facts(
            *(AiryFact(key=key, text=text) for key, text in said.items()), ours, unusable, AiryFact(key="gender")
        ),
        BOB: facts(there),
    }
    rows = writes(ended, None, into=into, known=held)
    gone = {row.key for row in rows if row.value is None and row.contact_id == ADA}
    assert gone == {*held[ADA], "via.external_id", "via.email", "via.phone", "avatarUrl", "created_at"}
    went_on = {row.key: row.value for row in rows if row.value is not None}
    assert went_on == {key: text for key, text in said.items() if key != "locale"}
    assert {(row.contact_id, row.own) for row in rows if row.value is not None} == {(BOB, False)}
    nowhere = writes(ended, None, into=a_contact(id="no uuid"), known=held)
    assert [row for row in nowhere if row.value is not None] == []


@pytest.mark.parametrize(
    ("there", "goes_on"),
    [
        (None, True),
        (AiryFact(key="displayName", text="Chatplugin cfaa4", own=True), True),
        (AiryFact(key="displayName", text="Chatplugin cfaa4"), True),
        (AiryFact(key="displayName", text="Prof. Ada"), False),
    ],
)
def test_a_name_goes_on_to_who_has_none(there: AiryFact | None, *, goes_on: bool) -> None:
    held = {ADA: facts(AiryFact(key="displayName", text="Ada")), BOB: facts(*([there] if there else []))}
    rows = writes(a_contact(), None, into=a_contact(CHAT, id=BOB), known=held)
    assert ("displayName" in {row.key for row in rows if row.value is not None}) is goes_on
    named = writes(a_contact(), None, into=a_contact(id=BOB, metadata={"display_name": "Bob"}), known=held)
    assert all(row.value is None for row in named)


def test_a_name_that_airy_invented_goes_nowhere() -> None:
    held = {
        ADA: facts(
            AiryFact(key="displayName", text="Sms cfbb5"),
            AiryFact(key=f"conversations.{OTHER_CHAT}", text="twilio.sms"),
        )
    }
    rows = writes(a_contact(), None, into=a_contact(id=BOB), known=held)
    assert [row.key for row in rows if row.value is not None] == [f"conversations.{OTHER_CHAT}"]


def test_of_whom_only_airy_had_every_row_goes() -> None:
    change = Change(contact_id=ContactId(ADA))
    rows = writes_of([change], at_ms=AT_MS, facts_of=lambda _: facts(AiryFact(key="title", text="Dr.")))
    assert [(row.key, row.value) for row in rows] == [("title", None)]


def test_a_conversation_that_is_gained_is_taken_from_who_has_it_in_airy() -> None:
    key = f"conversations.{CHAT}"
    change = Change(contact_id=ContactId(ADA), rivals=((ContactId(BOB), key), (ContactId("no uuid"), key)))
    assert [(row.contact_id, row.key, row.value) for row in writes_of([change], at_ms=1, facts_of=lambda _: {})] == [
        (BOB, key, None)
    ]


def test_what_airy_has_already_of_whom_we_make_ours_is_not_said_again() -> None:
    phone = make_phone_number("+5215512345678", key="+525512345678")
    contact = a_contact(CHAT, external_id="u1", email="a@b.cd", phone_number=phone)
    given = AiryIdentifiers(external_id="u1", email=contact.email, phone_number=phone)
    vias = ("via.external_id", "via.email", "via.phone")
    held = facts(
        AiryFact(key="created_at", at_ms=1),
        AiryFact(key=f"conversations.{CHAT}", text="chatplugin"),
        *(AiryFact(key=key, identifiers=given) for key in vias),
    )
    adopted = (f"conversations.{CHAT}", *ATTRIBUTES)
    assert writes(None, contact, known={ADA: held}, adopted=adopted) == ()
    others = facts(*held.values(), *(AiryFact(key=key, identifiers=AiryIdentifiers()) for key in vias))
    assert set(values(writes(None, contact, known={ADA: others}, adopted=adopted))) == set(vias)


def test_who_was_forgotten_loses_every_row_and_nothing_goes_on() -> None:
    contact = a_contact(CHAT)
    rows = writes(contact, None)
    assert values(rows) == dict.fromkeys([*ATTRIBUTES, f"conversations.{CHAT}"])


def test_a_marker_of_somebody_who_was_none_is_nothing() -> None:
    assert writes(None, None) == ()


def test_a_name_that_airy_has_from_somebody_else_stays() -> None:
    before = a_contact(CHAT)
    after = a_contact(CHAT, metadata={"display_name": "Ada", "avatar_url": "https://a"})
    theirs = facts(AiryFact(key="displayName", text="Dr. Ada"), AiryFact(key="avatarUrl", text="https://b"))
    assert {"displayName", "avatarUrl"}.isdisjoint(values(writes(before, after, known={ADA: theirs})))
    assert {"displayName", "avatarUrl"}.isdisjoint(values(writes(after, before, known={ADA: theirs})))
    invented = facts(AiryFact(key="displayName", text="Chatplugin cfaa4"))
    assert values(writes(before, after, known={ADA: invented}))["displayName"] == "Ada"


def test_a_contact_that_airy_made_gets_no_invented_name_and_no_other_time() -> None:
    theirs = facts(AiryFact(key=f"conversations.{CHAT}", text="chatplugin"), AiryFact(key="created_at", at_ms=1))
    rows = writes(a_contact(CHAT), a_contact(CHAT, external_id="u1"), known={ADA: theirs})
    assert values(rows) == {"via.external_id": "u1"}


def test_a_time_that_changes_is_written_whoever_wrote_the_one_before() -> None:
    theirs = facts(AiryFact(key="created_at", at_ms=1), AiryFact(key="displayName", text="Ada"))
    rows = writes(a_contact(), a_contact(created_at_ms=7), known={ADA: theirs})
    assert [(row.key, row.value, row.timestamp_ms) for row in rows] == [("created_at", "7", 7)]


def test_a_name_of_ours_that_is_taken_back_becomes_airys_again() -> None:
    named, nameless = a_contact(CHAT, metadata={"display_name": "Ada"}), a_contact(CHAT)
    theirs = facts(
        AiryFact(key=f"conversations.{CHAT}", text="chatplugin"),
        AiryFact(key="created_at", at_ms=1),
        AiryFact(key="displayName", text="Ada", own=True),
    )
    assert values(writes(named, nameless, known={ADA: theirs})) == {"displayName": "Chatplugin cfaa4"}


def test_a_row_is_said_again_with_another_time() -> None:
    row = restated(a_contact("no uuid", CHAT, OTHER_CHAT), at_ms=9)
    assert row == AiryWrite(contact_id=ContactId(ADA), key=f"conversations.{CHAT}", value="chatplugin", timestamp_ms=9)
    assert restated(a_contact(), at_ms=9) is None


def test_facts_are_found_by_their_keys() -> None:
    fact = AiryFact(key="title")
    assert facts_by_key(AiryContact(id=ContactId(ADA), facts=(fact,))) == {"title": fact}
    assert facts_by_key(None) == {}
