from airy_identify.core.levels import level_of
from airy_identify.core.values import Level
from tests.builders import make_contact, make_email


def test_an_external_id_makes_hard() -> None:
    assert level_of(make_contact(external_id="u1", known=True)) is Level.HARD


def test_the_mark_makes_known_even_when_nothing_is_left() -> None:
    assert level_of(make_contact(known=True)) is Level.KNOWN


def test_an_unverified_email_makes_no_level() -> None:
    assert level_of(make_contact(email=make_email("a@b.cd", verified=False))) is Level.ANONYMOUS
