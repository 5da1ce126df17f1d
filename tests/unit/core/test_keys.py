import pytest

from airy_identify.core.commands import Identify
from airy_identify.core.errors import InconsistentTableError
from airy_identify.core.keys import GivenKey, given_identifiers, held_identifiers, look_up
from airy_identify.core.values import Contact, ContactKey, Identifier, TenantId
from tests.builders import TENANT, make_contact, make_email, make_identify_command, make_phone_number
from tests.tables import make_table


def only_key(command: Identify, *contacts: Contact) -> GivenKey:
    (key,) = look_up(command, make_table(*contacts))
    return key


def test_keys_come_in_rank_order() -> None:
    command = make_identify_command(
        identifiers={"cookie": "c", "device": ["d2", "d1"]}, phone_number="+49301", email="a@b.cd", external_id="u1"
    )
    assert [(key.kind, key.value) for key in given_identifiers(command)] == [
        ("external_id", "u1"),
        ("email", "a@b.cd"),
        ("phone_number", "+49301"),
        ("cookie", "c"),
        ("device", "d2"),
        ("device", "d1"),
    ]


def test_a_value_given_twice_counts_once() -> None:
    assert len(given_identifiers(make_identify_command(identifiers={"device": ["d1", "d1"]}))) == 1


def test_unverified_values_are_no_keys() -> None:
    command = make_identify_command(
        email=make_email("a@b.cd", verified=False), phone_number=make_phone_number("+49301", verified=False)
    )
    assert given_identifiers(command) == []


def test_a_phone_number_is_looked_up_by_its_canonical_key() -> None:
    command = make_identify_command(phone_number=make_phone_number("+5215512345678", key="+525512345678"))
    contact = make_contact(phone_number="+525512345678", known=True)
    assert only_key(command, contact).owner == contact


def test_contacts_are_indexed_under_their_verified_values() -> None:
    contact = make_contact(
        external_id="u1",
        former_external_ids=("u2",),
        email="a@b.cd",
        phone_number=make_phone_number("+5215512345678", key="+525512345678"),
        identifiers={"device": ["d1", "d2"]},
    )
    assert held_identifiers(contact) == [
        Identifier(kind="external_id", value="u1"),
        Identifier(kind="external_id", value="u2"),
        Identifier(kind="email", value="a@b.cd"),
        Identifier(kind="phone_number", value="+525512345678"),
        Identifier(kind="device", value="d1"),
        Identifier(kind="device", value="d2"),
    ]


def test_unverified_values_are_not_indexed() -> None:
    contact = make_contact(
        email=make_email("a@b.cd", verified=False), phone_number=make_phone_number("+49301", verified=False)
    )
    assert held_identifiers(contact) == []


def test_fields_are_named_as_errors_name_them() -> None:
    command = make_identify_command(email="a@b.cd", identifiers={"device": "d"})
    assert [key.field for key in look_up(command, make_table())] == ["email", "identifiers.device"]


def test_a_key_that_nobody_has_matches_nobody() -> None:
    key = only_key(make_identify_command(email="a@b.cd"))
    assert (key.owner, key.matches) == (None, False)


def test_a_built_in_key_matches_whoever_holds_it() -> None:
    hard = make_contact(external_id="u1", email="a@b.cd", known=True)
    key = only_key(make_identify_command(email="a@b.cd"), hard)
    assert (key.owner, key.matches, key.is_custom) == (hard, True, False)


def test_a_custom_key_matches_an_anonymous_contact() -> None:
    anonymous = make_contact(identifiers={"device": "d"})
    key = only_key(make_identify_command(identifiers={"device": "d"}), anonymous)
    assert (key.owner, key.matches, key.is_custom) == (anonymous, True, True)


@pytest.mark.parametrize("marks", [{"known": True}, {"known": True, "external_id": "u1"}])
def test_a_custom_key_does_not_match_a_known_or_hard_contact(marks: dict[str, object]) -> None:
    contact = make_contact(identifiers={"device": "d"}, **marks)
    key = only_key(make_identify_command(identifiers={"device": "d"}), contact)
    assert (key.owner, key.matches) == (contact, False)


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize(("given", "matches"), [("a@b.cd", True), ("e@f.gh", False)])
def test_a_custom_key_does_not_match_where_the_emails_differ(given: str, matches: bool, verified: bool) -> None:  # noqa: FBT001
    anonymous = make_contact(identifiers={"device": "d"}, email=make_email("a@b.cd", verified=False))
    command = make_identify_command(identifiers={"device": "d"}, email=make_email(given, verified=verified))
    assert look_up(command, make_table(anonymous))[-1].matches is matches


def test_a_custom_key_matches_where_only_one_side_has_an_email() -> None:
    with_email = make_contact(identifiers={"device": "d"}, email=make_email("a@b.cd", verified=False))
    assert only_key(make_identify_command(identifiers={"device": "d"}), with_email).matches
    command = make_identify_command(identifiers={"device": "d"}, email="a@b.cd")
    assert look_up(command, make_table(make_contact(identifiers={"device": "d"})))[-1].matches


def test_tenants_are_worlds_of_their_own() -> None:
    elsewhere = make_table(make_contact(email="a@b.cd", known=True), tenant=TenantId("elsewhere"))
    assert look_up(make_identify_command(email="a@b.cd"), elsewhere)[0].owner is None
    assert look_up(make_identify_command(email="a@b.cd", tenant="elsewhere"), elsewhere)[0].owner is not None


def test_an_owner_without_a_row_is_a_broken_table() -> None:
    contact = make_contact(email="a@b.cd", known=True)
    table = make_table(contact)
    del table.rows[ContactKey(tenant=TENANT, contact_id=contact.id)]
    with pytest.raises(InconsistentTableError, match=contact.id):
        look_up(make_identify_command(email="a@b.cd"), table)
