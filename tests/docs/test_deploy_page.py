"""docs/deploy.md names values, settings and files that exist, and shows values that the chart takes."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "helm" / "airy-identify" / "values.yaml").read_text(encoding="utf-8")
)


def test_the_table_names_values_of_the_chart() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", TEXT, flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]

    assert {name.split(".")[0] for name in named} == set(VALUES) - {"image", "podDisruptionBudget"}
    for name in named:
        value: Any = VALUES
        for part in name.split("."):
            value = value[part]


def test_the_values_shown_are_values_of_the_chart() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    for name, members in yaml.safe_load(shown).items():
        assert set(members) <= {*VALUES[name], "schema_registry_url"}


def test_links_lead_to_files() -> None:
    for page in ("deploy.md", "airy.md", "http.md", "kafka.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert "://" in link or (ROOT / "docs" / link).exists(), (page, link)
