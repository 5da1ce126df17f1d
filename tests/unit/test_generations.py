"""The book of generations, and the names that a generation gives."""

import pytest

from airy_identify.topics import DELETE_RETENTION_MS, TopicNames, declare, of_generation
from airy_identify.wire.generations import (
    BUILDING,
    CURRENT,
    WANTED,
    GenerationBook,
    decode_generation,
    encode_generation,
    encode_generation_key,
)
from tests.builders import make_generation

TABLE = "contact-identity"


def book_of(*states: tuple[str, int, int]) -> GenerationBook:
    book = GenerationBook()
    for state, partition, generation in states:
        record = make_generation(state=state, partition=partition, generation=generation)
        book.apply(encode_generation(record))
    return book


def test_the_first_generation_has_no_number() -> None:
    names = TopicNames()
    assert names.changelog(TABLE) == names.changelog(TABLE, 1) == "airy-identify-contact-identity-changelog"
    assert names.changelog(TABLE, 3) == "airy-identify-contact-identity-changelog-g3"
    assert of_generation("contact-identity-7", 1) == "contact-identity-7"


def test_a_record_comes_back() -> None:
    for handed_over_at in (None, 0, 17):
        record = make_generation(handed_over_at=handed_over_at)
        assert decode_generation(encode_generation(record)) == record
    keys = {encode_generation_key(make_generation(state=state)) for state in (BUILDING, WANTED, CURRENT)}
    assert keys == {b"building:contact-identity:3", b"wanted:contact-identity:3", b"current:contact-identity:3"}


def test_nothing_is_known_in_the_beginning() -> None:
    book = GenerationBook()
    assert (book.number(TABLE, 0), book.current(TABLE, 0), book.highest(TABLE)) == (1, None, 1)
    assert book.in_use(TABLE, 4) == {1}


def test_what_is_offered_or_built_counts_until_the_shard_has_it() -> None:
    book = book_of((BUILDING, 0, 2), (WANTED, 0, 2), (BUILDING, 1, 2))
    assert (book.number(TABLE, 0), book.highest(TABLE)) == (1, 2)
    wanted, building = book.wanted(TABLE, 0), book.building(TABLE, 1)
    assert wanted is not None
    assert building is not None
    assert (wanted.generation, building.generation) == (2, 2)
    assert book.wanted(TABLE, 1) is None
    assert book.in_use(TABLE, 2) == {1, 2}

    book = book_of((BUILDING, 0, 2), (WANTED, 0, 2), (CURRENT, 0, 2))
    assert (book.number(TABLE, 0), book.wanted(TABLE, 0), book.building(TABLE, 0)) == (2, None, None)
    assert book.in_use(TABLE, 1) == {2}
    assert book.in_use(TABLE, 2) == {1, 2}, "the other partition has the first"


def test_a_topic_that_is_read_again_from_its_start_takes_nothing_back() -> None:
    book = book_of((CURRENT, 0, 2), (CURRENT, 0, 3), (CURRENT, 0, 2))
    assert book.number(TABLE, 0) == 3


def test_what_is_no_record_is_passed_by_and_listeners_are_told() -> None:
    book = GenerationBook()
    told: list[int] = []
    book.listeners.add(lambda: told.append(1))
    book.apply(None)
    book.apply(b"nonsense")
    assert told == []
    book.apply(encode_generation(make_generation()))
    assert told == [1]


@pytest.mark.parametrize("numbers", [{1}, {1, 2}, {3}])
def test_the_changelogs_of_all_generations_are_declared_alike(numbers: set[int]) -> None:
    names = TopicNames()
    declared = {
        topic.name: topic
        for topic in declare(names, partitions=4, messages_partitions=10, production=True, generations={TABLE: numbers})
    }
    found = {names.changelog(TABLE, number) for number in range(1, 9)} & set(declared)
    assert found == {names.changelog(TABLE, number) for number in numbers}
    for name in found:
        assert declared[name].partitions == 4
        assert declared[name].config["delete.retention.ms"] == str(DELETE_RETENTION_MS)
    assert names.changelog("conversation") in declared
