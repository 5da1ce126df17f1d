"""The order of Airy's rows does not matter, and what they mean is what a naive reading of them means.

Rows of one record key come in their order, since they share a partition; all others come in any. Whatever the order,
the same tables follow, byte for byte, and the same answers later. The laws speak of rows that come before a command
touches their contacts: a command sees the rows that came before it.

The naive reading has dictionaries and loops and imports nothing of the rules.
"""

import os
import random
from collections.abc import Iterable
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from airy_identify.core.commands import Observation
from airy_identify.core.values import AiryFact, PhoneNumber
from airy_identify.wire.rows import encode_identity_key, encode_identity_row
from tests.airy_rows import AiryTable
from tests.builders import (
    make_airy_identifiers,
    make_airy_source,
    make_conversation_seen,
    make_fact,
    make_phone_number,
    make_row_received,
    make_tombstone,
)

EXAMPLES = int(os.environ.get("LAW_SEQUENCES", "40")) * 5
CHAT, OTHER_CHAT = "98ce13ef-5469-4db3-af62-579be61cfaa4", "11111111-1111-4111-8111-111111111111"
AUTO = "ab93c421-5a67-5603-bcc2-42998f27bff2"
"""The contact that Airy makes of the first conversation."""
IDS = ("aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002", AUTO)
VALUES = {"external_id": ("u1", "u2"), "email": ("a@b.cd", "b@b.cd"), "phone": ("+491", "+492")}

Histories = dict[tuple[str, str], list[AiryFact | None]]


def identifiers(**given_values: str) -> Any:
    if "phone" in given_values:
        given_values["phone_number"] = given_values.pop("phone")
    return make_airy_identifiers(**given_values)


@st.composite
def sources(draw: st.DrawFn) -> AiryFact:
    found = []
    for source_id in draw(st.lists(st.sampled_from([*IDS, "never-seen"]), max_size=2, unique=True)):
        kind = draw(st.sampled_from([None, *VALUES]))
        named = {} if kind is None else {kind: draw(st.sampled_from(VALUES[kind]))}
        if "phone" in named:
            named["phone_number"] = named.pop("phone")
        found.append(make_airy_source(source_id, created_at_ms=1, **named))
    return make_fact("mergeHistory", merged=tuple(found))


def fact_of(key: str) -> st.SearchStrategy[AiryFact]:
    if key == "created_at":
        return st.integers(1, 3).map(lambda at: make_fact(key, at_ms=at))
    if key == "mergeHistory":
        return sources()
    if key.startswith("via."):
        kind = key.removeprefix("via.")
        return st.sampled_from(VALUES[kind]).map(lambda value: make_fact(key, identifiers=identifiers(**{kind: value})))
    if key.startswith("conversations."):
        return st.sampled_from(["chatplugin", "chatplugin", "facebook"]).map(lambda source: make_fact(key, source))
    return st.sampled_from(["Ada", "Bea", f"Chatplugin {CHAT[31:]}"]).map(lambda name: make_fact(key, name))


@st.composite
def histories(draw: st.DrawFn) -> Histories:
    """Draw what was written under each record key, in order; null is a tombstone."""
    found: Histories = {}
    for contact_id in IDS:
        keys = ["created_at", "displayName", "mergeHistory", *(f"via.{kind}" for kind in VALUES)]
        keys += [f"conversations.{chat}" for chat in (CHAT, OTHER_CHAT)]
        for key in draw(st.lists(st.sampled_from([*keys, "created_at"]), max_size=7, unique=False)):
            written = found.setdefault((contact_id, key), [])
            written.append(draw(st.none() if written and draw(st.integers(0, 3)) == 0 else fact_of(key)))
    return found


starts = st.lists(st.tuples(st.sampled_from([CHAT, OTHER_CHAT]), st.integers(1, 3)), max_size=4)


def received(contact_id: str, key: str, fact: AiryFact | None) -> Observation:
    return make_tombstone(contact_id, key) if fact is None else make_row_received(contact_id, fact)


def shuffled(written: Histories, seen: Iterable[tuple[str, int]], seed: int) -> list[Observation]:
    """Return everything in a random order in which each record key keeps its own."""
    queues: list[list[Observation]] = [
        [received(contact_id, key, fact) for fact in facts] for (contact_id, key), facts in written.items()
    ]
    queues += [[make_conversation_seen(chat, created_at_ms=at)] for chat, at in seen]
    choose = random.Random(seed)
    found = []
    while queues:
        queue = choose.choice(queues)
        found.append(queue.pop(0))
        queues = [each for each in queues if each]
    return found


def told(observed: Iterable[Observation]) -> AiryTable:
    table = AiryTable()
    table.tell(*observed)
    return table


def as_bytes(table: AiryTable) -> dict[bytes, bytes]:
    return {encode_identity_key(key): encode_identity_row(row) for key, row in table.rows.items()}


asked = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "external_id": st.sampled_from(VALUES["external_id"]),
            "email": st.sampled_from(VALUES["email"]),
            "phone_number": st.sampled_from(VALUES["phone"]),
        },
    ).filter(bool),
    max_size=4,
)


@settings(max_examples=EXAMPLES)
@given(histories(), starts, asked, st.integers(), st.integers())
def test_any_order_gives_the_same_tables_and_the_same_answers_later(
    written: Histories, seen: list[tuple[str, int]], later: list[dict[str, Any]], one: int, other: int
) -> None:
    tables = [told(shuffled(written, seen, seed)) for seed in (one, other)]
    assert as_bytes(tables[0]) == as_bytes(tables[1])
    tables[1].offset = tables[0].offset
    for number, given_keys in enumerate(later):
        new_id = f"{number:08x}-9999-4000-8000-000000000000"
        slips = [table.identify(**given_keys, new_id=new_id, request_id=new_id) for table in tables]
        assert slips[0] == slips[1]
        assert as_bytes(tables[0]) == as_bytes(tables[1])


# The naive reading


Person = dict[str, Any]


def people_of(written: Histories) -> dict[str, Person]:
    """Return what Airy has of each contact that lives and was not merged into another."""
    latest: dict[str, dict[str, AiryFact]] = {contact_id: {} for contact_id in IDS}
    for (contact_id, key), history in written.items():
        last = history[-1]
        if last is not None:
            latest[contact_id][key] = last
    living = {contact_id: facts for contact_id, facts in latest.items() if "created_at" in facts}

    def named(contact_id: str) -> list[Any]:
        facts = latest.get(contact_id, {})
        return [
            each for each in (facts["mergeHistory"].merged if "mergeHistory" in facts else ()) if each.id != contact_id
        ]

    def ended(contact_id: str) -> bool:
        back = {each.id for each in named(contact_id)}
        return any(contact_id in {each.id for each in named(other)} and other not in back for other in living)

    people = {}
    for contact_id, facts in living.items():
        if ended(contact_id):
            continue
        person: Person = {"age": (facts["created_at"].at_ms, contact_id), "external_ids": [], "email": [], "phone": []}
        own = [facts[f"via.{kind}"].identifiers for kind in sorted(VALUES) if f"via.{kind}" in facts]
        for each in [*own, *(source.identifiers for source in named(contact_id))]:
            person["external_ids"] += [each.external_id] if each.external_id else []
            person["email"] += [each.email.value] if each.email else []
            person["phone"] += [each.phone_number.key] if each.phone_number else []
        person["email"], person["phone"] = person["email"][:1], person["phone"][:1]
        people[contact_id] = person
    return people


def expected_for(written: Histories, member: str, value: str) -> str | None:
    """Return whom a value finds."""
    found = [(person["age"], who) for who, person in people_of(written).items() if value in person[member]]
    return min(found)[1] if found else None


@settings(max_examples=EXAMPLES)
@given(histories(), st.integers())
def test_a_value_finds_whom_a_naive_reading_finds(written: Histories, seed: int) -> None:
    table = told(shuffled(written, (), seed))
    for kind, member in (("external_id", "external_ids"), ("email", "email"), ("phone", "phone")):
        for value in VALUES[kind]:
            phone: PhoneNumber | None = make_phone_number(value)
            given_key = {"phone_number": phone} if kind == "phone" else {kind: value}
            slip = table.identify(**given_key, dry_run=True)
            assert slip.contact.id == expected_for(written, member, value)
            if kind == "email" and slip.contact.id is not None:
                assert slip.contact.email == value
