"""Every row of docs/security.md that says what stops somebody names tests, and these are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL))


def rows_of(section: str) -> list[list[str]]:
    """Return the cells of the rows of a section's table whose last column has tests."""
    lines = SECTIONS[section].splitlines()
    (start,) = (number for number, line in enumerate(lines) if line.endswith("| tests |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


ROWS = {
    f"{section}: {number}": row
    for section in ("Attach the running chat", "Clients", "The threat model")
    for number, row in enumerate(rows_of(section), start=1)
}


@pytest.mark.parametrize("name", ROWS)
def test_every_row_names_tests_that_are_there(name: str) -> None:
    row = ROWS[name]
    named = re.findall(r"`(tests/[^`]+\.py)::(\w+)`", row[-1])
    assert named
    for path, test in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, kinds)}, (path, test)
        is_law = test[0].isupper()
        assert is_law == (f"Test{test} = as_test(" in (ROOT / path).read_text(encoding="utf-8")), test


def test_every_link_within_the_page_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
