from pathlib import Path

from pydantic_core import PydanticUndefined

from airy_identify.settings import BRIDGE_REQUIRES, WORKER_REQUIRES, Settings, variable

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def make_row(field: str) -> str:
    """Return the line that the page has to have for a setting."""
    declared = Settings.model_fields[field]
    assert declared.default is not PydanticUndefined
    assert isinstance(declared.json_schema_extra, dict)
    default = declared.default
    if isinstance(default, frozenset):
        default = ",".join(sorted(default))
    shown = "" if default in (None, "", {}) else f"`{default}`"
    return f"| `{variable(field)}` | {declared.description} | {declared.json_schema_extra['allowed']} | {shown} |"


def test_every_setting_has_its_line() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `AIRY_IDENTIFY_")]

    assert lines == [make_row(field) for field in Settings.model_fields]


def test_the_page_says_what_each_process_needs() -> None:
    text = PAGE.read_text(encoding="utf-8")

    for process, required in (("worker", WORKER_REQUIRES), ("bridge", BRIDGE_REQUIRES)):
        names = " and ".join(f"`{variable(field)}`" for field in required)
        assert f"The {process} does not start without {names}." in text
