"""The list of planted bugs fits the code: a bug whose text is gone would be found only when all of them are planted."""

from pathlib import Path

from tests.planted_bugs.__main__ import ALL

ROOT = Path(__file__).parents[2]


def test_every_text_is_in_the_code_once() -> None:
    found = {bug.what: (ROOT / bug.file).read_text(encoding="utf-8").count(bug.old) for bug in ALL}
    assert {what: count for what, count in found.items() if count != 1} == {}


def test_no_two_bugs_have_one_name() -> None:
    assert len({bug.what for bug in ALL}) == len(ALL)
