from contextlib import suppress

import pytest

from airy_identify.web.asking import Answer
from airy_identify.web.pending import PendingAnswers

ANSWER = Answer(body=b"{}", status=200)


async def test_an_answer_finds_who_waits_for_it_once() -> None:
    pending = PendingAnswers(2)
    with pending.expect(b"1") as first, pending.expect(b"2") as second:
        waiting = pending.find(b"2")
        assert waiting is second
        waiting.set_result(ANSWER)
        assert pending.find(b"2") is None
        assert not first.done()


@pytest.mark.parametrize("correlation_id", [None, b"", b"3"])
async def test_other_answers_find_nobody(correlation_id: bytes | None) -> None:
    pending = PendingAnswers(2)
    with pending.expect(b"1"):
        assert pending.find(correlation_id) is None


async def test_whatever_ends_the_waiting_gives_the_place_back() -> None:
    pending = PendingAnswers(1)
    with suppress(LookupError), pending.expect(b"1"):
        assert (len(pending), pending.full) == (1, True)
        raise LookupError
    assert (len(pending), pending.full) == (0, False)
    assert pending.find(b"1") is None
