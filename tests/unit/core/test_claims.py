from airy_identify.core.claims import Added, Conflict, Held, TakenOver, settle, warn
from airy_identify.core.keys import GivenKey
from airy_identify.core.reasons import WarningCode
from airy_identify.core.values import Contact, Identifier
from tests.builders import make_contact

OTHER = make_contact(id="0f0f0f0f")
TARGET = make_contact(id="target")


def given(kind: str, *, owner: Contact | None = OTHER, matches: bool = True) -> GivenKey:
    return GivenKey(identifier=Identifier(kind=kind, value="v"), owner=owner, matches=matches)


def test_nobodys_key_is_added() -> None:
    key = given("email", owner=None, matches=False)
    assert settle(key, TARGET) == Added(key=key)


def test_the_targets_own_key_is_held_matching_or_not() -> None:
    for key in (given("email", matches=True), given("device", matches=False)):
        assert settle(key, OTHER) == Held(key=key)


def test_a_custom_key_that_does_not_match_is_taken_over() -> None:
    key = given("device", matches=False)
    assert settle(key, TARGET) == TakenOver(key=key, owner=OTHER)


def test_a_custom_key_that_matches_one_who_stays_is_taken_over_too() -> None:
    key = given("device")
    assert settle(key, TARGET) == TakenOver(key=key, owner=OTHER)


def test_any_other_key_of_somebody_else_is_a_conflict() -> None:
    for key in (given("email"), given("phone_number")):
        assert settle(key, TARGET) == Conflict(key=key)


def test_a_key_of_one_who_ended_in_the_target_is_held_unless_it_dropped_out() -> None:
    key = given("device")
    united = make_contact(id="target", identifiers={"device": "v"})
    assert settle(key, united, frozenset({OTHER.id})) == Held(key=key)
    assert settle(key, TARGET, frozenset({OTHER.id})) == Added(key=key)


def test_only_conflicts_warn_in_order_and_reveal_nothing() -> None:
    email, phone, cookie = given("email"), given("phone_number"), given("cookie", matches=False)
    warnings = warn((Conflict(key=email), TakenOver(key=cookie, owner=OTHER), Held(key=cookie), Conflict(key=phone)))
    assert [(warning.code, warning.field) for warning in warnings] == [
        (WarningCode.IDENTIFIER_CONFLICT, "email"),
        (WarningCode.IDENTIFIER_CONFLICT, "phone_number"),
    ]
    assert not any(OTHER.id in warning.message for warning in warnings)
