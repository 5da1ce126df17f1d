import pytest

from airy_identify.core.merging import ALIASES_MAX, CONVERSATIONS_MAX, is_separated, merge_contacts
from airy_identify.core.values import Contact
from tests.builders import (
    ACCEPTED_AT_MS,
    make_contact,
    make_contact_conversation,
    make_custom,
    make_email,
    make_phone_number,
    make_separation,
)

AT_MS = ACCEPTED_AT_MS + 5


def merged(survivor: Contact, other: Contact) -> Contact:
    contact = merge_contacts(survivor, other, at_ms=AT_MS)
    assert contact is not None
    return contact


def test_the_survivors_values_win_and_its_blanks_are_filled() -> None:
    survivor = make_contact(id="s", email="s@b.cd", metadata={"plan": "pro", "deep": {"a": 1}})
    other = make_contact(
        id="o",
        email="o@b.cd",
        phone_number="+491",
        external_id="u1",
        known=True,
        metadata={"plan": "free", "deep": {"b": 2}, "city": "Ulm"},
    )
    assert merged(survivor, other) == make_contact(
        id="s",
        email="s@b.cd",
        phone_number="+491",
        external_id="u1",
        known=True,
        metadata={"plan": "pro", "deep": {"a": 1}, "city": "Ulm"},
        aliases=("o",),
        merge_count=1,
        updated_at_ms=AT_MS,
    )


def test_the_earlier_creation_counts_and_updates_never_go_back() -> None:
    survivor = make_contact(id="s", created_at_ms=9, updated_at_ms=AT_MS + 1)
    contact = merged(survivor, make_contact(id="o", created_at_ms=3))
    assert (contact.created_at_ms, contact.updated_at_ms) == (3, AT_MS + 1)


def test_every_id_of_the_other_becomes_an_alias_in_one_hop() -> None:
    contact = merged(make_contact(id="s", aliases=("s2",)), make_contact(id="o", aliases=("o2", "o3")))
    assert contact.aliases == ("s2", "o", "o2", "o3")


def test_every_external_id_still_resolves_and_the_survivor_shows_its_own() -> None:
    survivor = make_contact(id="s", external_id="u1", former_external_ids=("u0",))
    other = make_contact(id="o", external_id="u2", former_external_ids=("u3",))
    contact = merged(survivor, other)
    assert (contact.external_id, contact.former_external_ids) == ("u1", ("u0", "u2", "u3"))


@pytest.mark.parametrize(
    ("mine", "others", "left"),
    [
        (None, True, "o"),
        (None, False, None),
        (True, True, "s"),
        (True, False, "s"),
        (False, True, "o"),
        (False, False, "s"),
    ],
)
def test_only_verified_values_fill_a_place_that_is_not(*, mine: bool | None, others: bool, left: str | None) -> None:
    survivor = make_contact(
        id="s",
        email=None if mine is None else make_email("s@b.cd", verified=mine),
        phone_number=None if mine is None else make_phone_number("+491", verified=mine),
    )
    other = make_contact(
        id="o", email=make_email("o@b.cd", verified=others), phone_number=make_phone_number("+492", verified=others)
    )
    contact = merged(survivor, other)
    values = (contact.email and contact.email.value, contact.phone_number and contact.phone_number.value)
    assert values == {"s": ("s@b.cd", "+491"), "o": ("o@b.cd", "+492"), None: (None, None)}[left]


def test_custom_values_are_united_up_to_five_the_survivors_first() -> None:
    survivor = make_contact(id="s", identifiers={"device": ["s1", "s2", "s3"]})
    other = make_contact(id="o", identifiers={"device": ["o1", "o2", "o3"], "cookie": "c"})
    assert merged(survivor, other).identifiers == make_custom({"cookie": "c", "device": ["s1", "s2", "s3", "o1", "o2"]})


def test_conversations_are_united() -> None:
    one, two = (make_contact_conversation(id=name) for name in ("c1", "c2"))
    contact = merged(make_contact(id="s", conversations=(one,)), make_contact(id="o", conversations=(two,)))
    assert contact.conversations == (one, two)


def test_separations_are_united_each_once() -> None:
    shared, own = make_separation("s", "x"), make_separation("o", "y")
    contact = merged(make_contact(id="s", separations=(shared,)), make_contact(id="o", separations=(own, shared)))
    assert contact.separations == (shared, own)


def conversations(count: int, prefix: str) -> tuple[object, ...]:
    return tuple(make_contact_conversation(id=f"{prefix}{number}") for number in range(count))


def aliases(count: int, prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{number}" for number in range(count))


def test_what_fits_just_so_is_merged() -> None:
    survivor = make_contact(
        id="s",
        conversations=conversations(CONVERSATIONS_MAX - 1, "s"),
        aliases=aliases(ALIASES_MAX - 2, "s"),
        identifiers={f"k{number:02}": "v" for number in range(63)},
        metadata={"a": "x" * 32_761},
    )
    other = make_contact(
        id="o",
        conversations=conversations(1, "o"),
        aliases=aliases(1, "o"),
        identifiers={"z": "v"},
        metadata={"b": "x" * 32_760},
    )
    contact = merged(survivor, other)
    assert (len(contact.conversations), len(contact.aliases), len(contact.identifiers)) == (1000, 1000, 64)


@pytest.mark.parametrize(
    ("survivor", "other"),
    [
        ({"conversations": conversations(1000, "s")}, {"conversations": conversations(1, "o")}),
        ({"aliases": aliases(999, "s")}, {"aliases": aliases(1, "o")}),
        ({"identifiers": {f"k{number:02}": "v" for number in range(64)}}, {"identifiers": {"z": "v"}}),
        ({"metadata": {"a": "x" * 32_761}}, {"metadata": {"b": "x" * 32_761}}),
    ],
    ids=["conversations", "aliases", "kinds", "metadata"],
)
def test_what_is_too_large_is_not_merged(survivor: dict[str, object], other: dict[str, object]) -> None:
    assert merge_contacts(make_contact(id="s", **survivor), make_contact(id="o", **other), at_ms=AT_MS) is None


def test_separated_are_two_and_all_that_they_took_in() -> None:
    one = make_contact(id="one", aliases=("one-before",), separations=(make_separation("one-before", "two-before"),))
    two = make_contact(id="two", aliases=("two-before",), separations=(make_separation("two-before", "one-before"),))
    assert is_separated(one, two)
    assert is_separated(two, one)
    assert not is_separated(one, make_contact(id="three"))
    assert not is_separated(make_contact(id="three"), one)
