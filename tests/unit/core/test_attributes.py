from airy_identify.core.attributes import lose, take
from airy_identify.core.claims import Claim, settle
from airy_identify.core.commands import Identify
from airy_identify.core.keys import look_up
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import Contact
from tests.builders import make_contact, make_custom, make_email, make_identify_command, make_phone_number
from tests.tables import make_table

MEXICO = make_phone_number("+525512345678")
MEXICO_SPELLED_DIFFERENTLY = make_phone_number("+5215512345678", key="+525512345678")


def claims_of(target: Contact, command: Identify, *others: Contact) -> tuple[Claim, ...]:
    return tuple(settle(key, target) for key in look_up(command, make_table(target, *others)))


def take_all(target: Contact, command: Identify, *others: Contact) -> Contact:
    contact = take(target, command, claims_of(target, command, *others))
    assert isinstance(contact, Contact)
    return contact


def test_nothing_new_returns_the_very_same_contact() -> None:
    contact = make_contact(
        external_id="u1", email="a@b.cd", phone_number="+491", identifiers={"device": ["d"]}, known=True
    )
    command = make_identify_command(
        external_id="u1", email="a@b.cd", phone_number="+491", identifiers={"device": ["d"]}
    )
    assert take_all(contact, command) is contact


def test_new_keys_are_added_and_make_known() -> None:
    command = make_identify_command(
        external_id="u1", email="a@b.cd", phone_number="+491", identifiers={"device": ["d"]}
    )
    assert take_all(make_contact(), command) == make_contact(
        external_id="u1", email="a@b.cd", phone_number="+491", identifiers={"device": ["d"]}, known=True
    )


def test_each_built_in_key_alone_makes_known_and_a_device_does_not() -> None:
    assert take_all(make_contact(), make_identify_command(external_id="u1")).known
    assert take_all(make_contact(), make_identify_command(email="a@b.cd")).known
    assert take_all(make_contact(), make_identify_command(phone_number="+491")).known
    assert not take_all(make_contact(), make_identify_command(identifiers={"device": "d"})).known


def test_the_mark_stays() -> None:
    assert take_all(make_contact(known=True), make_identify_command(identifiers={"device": "d"})).known


def test_a_changed_email_and_phone_replace_the_old_ones() -> None:
    contact = make_contact(external_id="u1", email="a@b.cd", phone_number="+491", known=True)
    changed = take_all(contact, make_identify_command(external_id="u1", email="e@f.gh", phone_number="+492"))
    assert (changed.email, changed.phone_number) == (make_email("e@f.gh"), make_phone_number("+492"))


def test_absent_values_stay() -> None:
    contact = make_contact(external_id="u1", email="a@b.cd", phone_number="+491", known=True)
    assert take_all(contact, make_identify_command(external_id="u1")) is contact


def test_the_same_phone_spelled_differently_is_no_change() -> None:
    contact = make_contact(phone_number=MEXICO, known=True)
    assert take_all(contact, make_identify_command(phone_number=MEXICO_SPELLED_DIFFERENTLY)) is contact


def test_an_unverified_value_is_kept_where_there_is_none() -> None:
    command = make_identify_command(
        external_id="u1",
        email=make_email("a@b.cd", verified=False),
        phone_number=make_phone_number("+491", verified=False),
    )
    contact = take_all(make_contact(external_id="u1", known=True), command)
    assert (contact.email, contact.phone_number) == (command.email, command.phone_number)


def test_an_unverified_value_makes_no_level() -> None:
    command = make_identify_command(identifiers={"device": "d"}, email=make_email("a@b.cd", verified=False))
    contact = take_all(make_contact(identifiers={"device": "d"}), command)
    assert contact.email is not None
    assert not contact.known


def test_an_unverified_value_replaces_none_verified_or_not() -> None:
    command = make_identify_command(
        external_id="u1",
        email=make_email("new@b.cd", verified=False),
        phone_number=make_phone_number("+499", verified=False),
    )
    for verified in (True, False):
        contact = make_contact(
            external_id="u1",
            known=True,
            email=make_email("a@b.cd", verified=verified),
            phone_number=make_phone_number("+491", verified=verified),
        )
        assert take_all(contact, command) is contact


def test_a_verified_value_replaces_an_unverified_one_in_its_own_spelling() -> None:
    contact = make_contact(
        external_id="u1",
        known=True,
        email=make_email("a@b.cd", verified=False),
        phone_number=make_phone_number("+525512345678", verified=False),
    )
    command = make_identify_command(external_id="u1", email="a@b.cd", phone_number=MEXICO_SPELLED_DIFFERENTLY)
    changed = take_all(contact, command)
    assert (changed.email, changed.phone_number) == (make_email("a@b.cd"), MEXICO_SPELLED_DIFFERENTLY)


def test_keys_in_conflict_are_not_taken() -> None:
    contact = make_contact(external_id="u1", known=True)
    other = make_contact(id="other", email="a@b.cd", phone_number="+491", known=True)
    command = make_identify_command(external_id="u1", email="a@b.cd", phone_number="+491")
    assert take_all(contact, command, other) is contact


def test_a_device_of_a_known_contact_is_taken_over() -> None:
    contact = make_contact(external_id="u1", known=True)
    other = make_contact(id="other", known=True, identifiers={"cookie": "c", "device": ["a", "d", "e"]})
    command = make_identify_command(external_id="u1", identifiers={"cookie": "c", "device": ["d", "a"]})
    claims = claims_of(contact, command, other)
    assert take_all(contact, command, other).identifiers == make_custom({"cookie": "c", "device": ["d", "a"]})
    ((before, after),) = lose(claims)
    assert before == other
    assert after == make_contact(id="other", known=True, identifiers={"device": "e"})


def test_losers_come_in_rank_order() -> None:
    contact = make_contact(external_id="u1", known=True)
    one = make_contact(id="one", known=True, identifiers={"device": "d"})
    two = make_contact(id="two", known=True, identifiers={"cookie": "c"})
    command = make_identify_command(external_id="u1", identifiers={"cookie": "c", "device": "d"})
    assert [before.id for before, _ in lose(claims_of(contact, command, one, two))] == ["two", "one"]


def test_too_many_kinds_are_refused() -> None:
    contact = make_contact(identifiers={f"k{number:02}": f"v{number}" for number in range(64)})
    command = make_identify_command(identifiers={"z": "v"})
    assert isinstance(take(contact, command, claims_of(contact, command)), Rejected)


def test_whoever_is_found_otherwise_keeps_their_external_id() -> None:
    contact = make_contact(external_id="u1", email="a@b.cd", known=True)
    command = make_identify_command(email="a@b.cd", phone_number="+491")
    assert take_all(contact, command) == make_contact(external_id="u1", email="a@b.cd", phone_number="+491", known=True)
