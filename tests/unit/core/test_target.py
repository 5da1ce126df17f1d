from airy_identify.core.commands import Identify
from airy_identify.core.keys import look_up
from airy_identify.core.target import Created, Found, Promoted, Target, choose_target, contradicts
from airy_identify.core.values import Contact
from tests.builders import make_contact, make_email, make_identify_command
from tests.tables import make_table

HARD = make_contact(id="hard", external_id="u1", email="hard@b.cd", phone_number="+491", known=True)
BY_EMAIL = make_contact(id="by-email", email="soft@b.cd", known=True)
BY_PHONE = make_contact(id="by-phone", phone_number="+492", known=True)
BY_BOTH = make_contact(id="by-both", email="both@b.cd", phone_number="+493", known=True)
ANONYMOUS = make_contact(id="anonymous", identifiers={"device": "d"})


def choose(command: Identify, *contacts: Contact) -> Target:
    return choose_target(command, look_up(command, make_table(*contacts)))


def test_the_owner_of_the_external_id_is_found_whatever_else_is_given() -> None:
    command = make_identify_command(external_id="u1", email="soft@b.cd", phone_number="+492")
    assert choose(command, HARD, BY_EMAIL, BY_PHONE) == Found(contact=HARD)


def test_a_new_external_id_promotes_the_highest_ranked_soft_match() -> None:
    command = make_identify_command(external_id="u2", email="soft@b.cd", phone_number="+492")
    assert choose(command, BY_PHONE, BY_EMAIL) == Promoted(contact=BY_EMAIL)


def test_a_new_external_id_promotes_an_anonymous_match() -> None:
    command = make_identify_command(external_id="u2", identifiers={"device": "d"})
    assert choose(command, ANONYMOUS) == Promoted(contact=ANONYMOUS)


def test_a_new_external_id_never_promotes_a_hard_contact() -> None:
    assert choose(make_identify_command(external_id="u2", email="hard@b.cd"), HARD) == Created()


def test_a_new_external_id_passes_over_hard_contacts_to_a_soft_one() -> None:
    command = make_identify_command(external_id="u2", email="hard@b.cd", phone_number="+492")
    assert choose(command, HARD, BY_PHONE) == Promoted(contact=BY_PHONE)


def test_a_new_external_id_does_not_promote_who_contradicts() -> None:
    command = make_identify_command(external_id="u2", email="other@b.cd", phone_number="+493")
    assert choose(command, BY_BOTH) == Created()


def test_without_an_external_id_the_highest_ranked_match_is_found_hard_or_soft() -> None:
    command = make_identify_command(email="hard@b.cd", phone_number="+492")
    assert choose(command, HARD, BY_PHONE) == Found(contact=HARD)


def test_without_an_external_id_who_contradicts_is_passed_over() -> None:
    command = make_identify_command(email="other@b.cd", phone_number="+493", identifiers={"device": "d"})
    assert choose(command, BY_BOTH, ANONYMOUS) == Found(contact=ANONYMOUS)


def test_a_soft_contact_cannot_change_its_email_through_its_phone() -> None:
    assert choose(make_identify_command(email="other@b.cd", phone_number="+493"), BY_BOTH) == Created()


def test_a_device_never_finds_a_known_contact() -> None:
    known = make_contact(known=True, identifiers={"device": "d"})
    assert choose(make_identify_command(identifiers={"device": "d"}), known) == Created()


def test_nobody_matches_somebody_new() -> None:
    assert choose(make_identify_command(external_id="u9", email="new@b.cd"), HARD, BY_EMAIL) == Created()


def test_only_verified_emails_that_differ_contradict() -> None:
    verified = make_contact(email="a@b.cd")
    unverified = make_contact(email=make_email("a@b.cd", verified=False))
    assert contradicts(verified, make_identify_command(email="e@f.gh"))
    assert not contradicts(verified, make_identify_command(email="a@b.cd"))
    assert not contradicts(verified, make_identify_command(external_id="u1"))
    assert not contradicts(verified, make_identify_command(email=make_email("e@f.gh", verified=False)))
    assert not contradicts(unverified, make_identify_command(email="e@f.gh"))
    assert not contradicts(make_contact(), make_identify_command(email="e@f.gh"))
