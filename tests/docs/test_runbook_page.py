"""docs/runbook.md: every entry has all its parts, and a test that runs it."""

import re
from pathlib import Path

import pytest

from tests.kafka.runbook import PAGE, PARTS, RUN, TOOLS, read_entries

ROOT = Path(__file__).parents[2]
TEXT = PAGE.read_text(encoding="utf-8")
ENTRIES = read_entries()
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("kafka/test_*.py"))


@pytest.mark.parametrize("title", ENTRIES)
def test_every_entry_has_its_parts_in_their_order_and_a_test_that_runs_it(title: str) -> None:
    assert tuple(ENTRIES[title]) == PARTS
    assert {name for name, commands in ENTRIES[title].items() if commands} == set(RUN)
    assert f'entry("{title}"' in TESTS, "no test runs it"


def test_no_command_is_outside_of_the_entries() -> None:
    blocks = re.findall(r"^```.*$", TEXT, flags=re.MULTILINE)
    assert blocks == ["```sh", "```"] * (len(blocks) // 2)
    printed = "".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
    assert len(printed) == sum(len(commands) for parts in ENTRIES.values() for commands in parts.values())


def test_the_tools_of_kafka_that_are_named_are_those_that_tests_have() -> None:
    assert set(re.findall(r"kafka-[a-z-]+\.sh", TEXT)) == set(TOOLS)


def test_messages_name_entries_that_exist() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "airy_identify").rglob("*.py")]
    named = {
        title.replace("\\", "").rstrip('"')
        for source in sources
        for title in re.findall(r'docs/runbook\.md, \\?"([^"]+)"', source)
    }
    assert len(named) >= 7
    assert named <= set(ENTRIES)
