import dataclasses

from airy_identify.core.index import write_contacts
from airy_identify.core.values import AliasKey, ContactId, ContactKey, ConversationOwnerKey, IdentifierKey, Owner
from tests.builders import NEW_ID, TENANT, make_contact, make_contact_conversation

ALIAS = ContactId("alias")
LOSER_ID = ContactId("loser")
TARGET_ID = ContactId("target")
OWNER = Owner(contact_id=TARGET_ID)


def identifier_key(kind: str, value: str) -> IdentifierKey:
    return IdentifierKey(tenant=TENANT, kind=kind, value=value)


def test_a_new_contact_is_written_with_its_identifiers() -> None:
    target = make_contact(id="target", external_id="u1", email="a@b.cd")
    assert write_contacts(TENANT, ((None, target),)) == [
        (ContactKey(tenant=TENANT, contact_id=TARGET_ID), target),
        (identifier_key("external_id", "u1"), OWNER),
        (identifier_key("email", "a@b.cd"), OWNER),
    ]


def test_only_identifiers_that_changed_are_written() -> None:
    before = make_contact(id="target", external_id="u1", email="a@b.cd")
    after = make_contact(id="target", external_id="u1", email="e@f.gh")
    assert write_contacts(TENANT, ((before, after),))[1:] == [
        (identifier_key("email", "e@f.gh"), OWNER),
        (identifier_key("email", "a@b.cd"), None),
    ]


def test_an_identifier_that_is_passed_on_is_written_once() -> None:
    before = make_contact(id="target", external_id="u1")
    after = make_contact(id="target", external_id="u1", identifiers={"device": "d"})
    loser, lost = make_contact(id="loser", identifiers={"device": "d"}), make_contact(id="loser")
    assert write_contacts(TENANT, ((before, after), (loser, lost))) == [
        (ContactKey(tenant=TENANT, contact_id=TARGET_ID), after),
        (ContactKey(tenant=TENANT, contact_id=LOSER_ID), lost),
        (identifier_key("device", "d"), OWNER),
    ]


def test_a_new_conversation_and_alias_lead_to_the_contact() -> None:
    before = make_contact(id="target")
    after = dataclasses.replace(before, conversations=(make_contact_conversation(),), aliases=(ALIAS,))
    assert write_contacts(TENANT, ((before, after),))[1:] == [
        (AliasKey(tenant=TENANT, contact_id=ALIAS), OWNER),
        (ConversationOwnerKey(tenant=TENANT, conversation_id=NEW_ID), OWNER),
    ]


def test_what_a_contact_that_ended_had_leads_to_the_survivor() -> None:
    ended = make_contact(id="loser", email="a@b.cd", phone_number="+491", conversations=(make_contact_conversation(),))
    before = make_contact(id="target", email="e@f.gh")
    after = dataclasses.replace(
        before, phone_number=ended.phone_number, conversations=ended.conversations, aliases=(LOSER_ID,)
    )
    assert write_contacts(TENANT, ((before, after), (ended, None))) == [
        (ContactKey(tenant=TENANT, contact_id=TARGET_ID), after),
        (ContactKey(tenant=TENANT, contact_id=LOSER_ID), None),
        (identifier_key("phone_number", "+491"), OWNER),
        (AliasKey(tenant=TENANT, contact_id=LOSER_ID), OWNER),
        (ConversationOwnerKey(tenant=TENANT, conversation_id=NEW_ID), OWNER),
        (identifier_key("email", "a@b.cd"), None),
    ]


def test_aliases_and_conversations_that_stay_are_not_written_again() -> None:
    before = make_contact(id="target", conversations=(make_contact_conversation(),), aliases=(ALIAS,))
    after = dataclasses.replace(before, metadata={"plan": "pro"})
    assert write_contacts(TENANT, ((before, after),)) == [(ContactKey(tenant=TENANT, contact_id=TARGET_ID), after)]


def test_what_several_that_ended_had_and_the_survivor_has_not_is_released() -> None:
    target = make_contact(id="target")
    ended = [make_contact(id=name, identifiers={"device": f"d-{name}"}) for name in ("one", "two")]
    changes = ((target, make_contact(id="target", aliases=("one", "two"))), *((each, None) for each in ended))
    assert write_contacts(TENANT, changes)[-2:] == [
        (identifier_key("device", "d-one"), None),
        (identifier_key("device", "d-two"), None),
    ]
