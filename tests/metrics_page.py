"""The table of `docs/metrics.md`, for what compares it with the code and with running processes."""

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


class Row(NamedTuple):
    """A metric as the page has it."""

    name: str
    process: str
    kind: str
    labels: tuple[str, ...]
    text: str


def rows_of_page() -> list[Row]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [
        Row(name.strip("`"), process, kind, tuple(label.strip("` ") for label in labels.split(",") if label), text)
        for name, process, kind, labels, text in cells
    ]
