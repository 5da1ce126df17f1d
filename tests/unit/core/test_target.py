from airy_identify.core.commands import Identify
from airy_identify.core.keys import look_up
from airy_identify.core.target import choose_target, contradicts, matches_of
from airy_identify.core.values import Contact
from tests.builders import make_contact, make_email, make_identify_command, make_separation
from tests.tables import make_table

HARD = make_contact(id="hard", external_id="u1", email="hard@b.cd", phone_number="+491", known=True)
BY_EMAIL = make_contact(id="by-email", email="soft@b.cd", known=True)
BY_PHONE = make_contact(id="by-phone", phone_number="+492", known=True)
BY_BOTH = make_contact(id="by-both", email="both@b.cd", phone_number="+493", known=True)
ANONYMOUS = make_contact(id="anonymous", identifiers={"device": "d"})


def choose(command: Identify, *contacts: Contact) -> tuple[str, Contact | None, Contact | None]:
    """Return how the target was chosen, who it is, and who is to end in it."""
    target = choose_target(command, matches_of(look_up(command, make_table(*contacts))))
    chosen, ends = (None if match is None else match.contact for match in (target.match, target.ends))
    return target.choice.value, chosen, ends


def test_the_owner_of_the_external_id_is_found_whatever_else_is_given() -> None:
    command = make_identify_command(external_id="u1", email="soft@b.cd", phone_number="+492")
    assert choose(command, HARD, BY_EMAIL, BY_PHONE) == ("found", HARD, None)


def test_a_new_external_id_promotes_the_highest_ranked_soft_match() -> None:
    command = make_identify_command(external_id="u2", email="soft@b.cd", phone_number="+492")
    assert choose(command, BY_PHONE, BY_EMAIL) == ("promoted", BY_EMAIL, None)


def test_a_new_external_id_promotes_an_anonymous_match() -> None:
    command = make_identify_command(external_id="u2", identifiers={"device": "d"})
    assert choose(command, ANONYMOUS) == ("promoted", ANONYMOUS, None)


def test_a_new_external_id_never_promotes_a_hard_contact() -> None:
    assert choose(make_identify_command(external_id="u2", email="hard@b.cd"), HARD) == ("created", None, None)


def test_a_new_external_id_passes_over_hard_contacts_to_a_soft_one() -> None:
    command = make_identify_command(external_id="u2", email="hard@b.cd", phone_number="+492")
    assert choose(command, HARD, BY_PHONE) == ("promoted", BY_PHONE, None)


def test_a_new_external_id_does_not_promote_who_contradicts() -> None:
    command = make_identify_command(external_id="u2", email="other@b.cd", phone_number="+493")
    assert choose(command, BY_BOTH) == ("created", None, None)


def test_without_an_external_id_the_highest_ranked_match_is_found_hard_or_soft() -> None:
    command = make_identify_command(email="hard@b.cd", phone_number="+492")
    assert choose(command, HARD, BY_PHONE) == ("found", HARD, None)


def test_without_an_external_id_who_contradicts_is_passed_over() -> None:
    command = make_identify_command(email="other@b.cd", phone_number="+493", identifiers={"device": "d"})
    assert choose(command, BY_BOTH, ANONYMOUS) == ("found", ANONYMOUS, None)


def test_a_soft_contact_cannot_change_its_email_through_its_phone() -> None:
    assert choose(make_identify_command(email="other@b.cd", phone_number="+493"), BY_BOTH) == ("created", None, None)


def test_a_device_never_finds_a_known_contact() -> None:
    known = make_contact(known=True, identifiers={"device": "d"})
    assert choose(make_identify_command(identifiers={"device": "d"}), known) == ("created", None, None)


def test_nobody_matches_somebody_new() -> None:
    assert choose(make_identify_command(external_id="u9", email="new@b.cd"), HARD, BY_EMAIL) == ("created", None, None)


def test_only_verified_emails_that_differ_contradict() -> None:
    verified = make_contact(email="a@b.cd")
    unverified = make_contact(email=make_email("a@b.cd", verified=False))
    assert contradicts(verified, make_identify_command(email="e@f.gh"))
    assert not contradicts(verified, make_identify_command(email="a@b.cd"))
    assert not contradicts(verified, make_identify_command(external_id="u1"))
    assert not contradicts(verified, make_identify_command(email=make_email("e@f.gh", verified=False)))
    assert not contradicts(unverified, make_identify_command(email="e@f.gh"))
    assert not contradicts(make_contact(), make_identify_command(email="e@f.gh"))


# The one hard contact among the matches


def test_a_soft_match_ends_in_the_one_hard_match() -> None:
    soft = make_contact(id="soft", email="a@b.cd", known=True)
    hard = make_contact(id="hard", external_id="u1", phone_number="+491", known=True)
    command = make_identify_command(email="a@b.cd", phone_number="+491")
    assert choose(command, soft, hard) == ("found", hard, soft)


def test_a_hard_match_with_another_email_is_not_chosen() -> None:
    soft = make_contact(id="soft", email="a@b.cd", known=True)
    hard = make_contact(id="hard", external_id="u1", email="other@b.cd", phone_number="+491", known=True)
    command = make_identify_command(email="a@b.cd", phone_number="+491")
    assert choose(command, soft, hard) == ("found", soft, None)


def test_a_hard_match_with_another_email_than_the_soft_one_is_not_chosen() -> None:
    soft = make_contact(id="soft", email="a@b.cd", phone_number="+491", known=True)
    hard = make_contact(id="hard", external_id="u1", email="other@b.cd", known=True)
    command = make_identify_command(phone_number="+491", identifiers={"device": "d"})
    assert choose(command, soft, hard) == ("found", soft, None)


def test_a_separated_hard_match_is_not_chosen() -> None:
    soft = make_contact(id="soft", email="a@b.cd", known=True, separations=(make_separation("soft", "hard"),))
    hard = make_contact(
        id="hard", external_id="u1", phone_number="+491", known=True, separations=(make_separation("hard", "soft"),)
    )
    command = make_identify_command(email="a@b.cd", phone_number="+491")
    assert choose(command, soft, hard) == ("found", soft, None)


def test_a_hard_match_that_would_grow_too_large_is_not_chosen() -> None:
    soft = make_contact(id="soft", email="a@b.cd", known=True, aliases=tuple(f"a{n}" for n in range(600)))
    hard = make_contact(
        id="hard", external_id="u1", phone_number="+491", known=True, aliases=tuple(f"b{n}" for n in range(600))
    )
    command = make_identify_command(email="a@b.cd", phone_number="+491")
    assert choose(command, soft, hard) == ("found", soft, None)


def test_of_several_that_one_kind_brings_the_older_comes_first() -> None:
    younger = make_contact(id="a", created_at_ms=2, identifiers={"device": "d1"})
    older = make_contact(id="b", created_at_ms=1, identifiers={"device": "d2"})
    twin = make_contact(id="0", created_at_ms=2, identifiers={"device": "d3"})
    command = make_identify_command(identifiers={"device": ["d1", "d2", "d3"]})
    matches = matches_of(look_up(command, make_table(younger, older, twin)))
    assert [match.contact.id for match in matches] == ["b", "0", "a"]
