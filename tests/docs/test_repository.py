import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"


def locked(name: str) -> dict[str, str]:
    """Return the versions in a lock file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))


def pinned(requirements: list[str]) -> dict[str, str]:
    """Return the versions by name; the extras that are asked for, as in `avro[snappy]`, are no part of a name."""
    parts = [re.sub(r"\[.*\]", "", requirement).split("==") for requirement in requirements]
    return {name.lower(): version for name, version in parts}


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        (RUNTIME, PROJECT["project"]["dependencies"]),
        (RUNTIME, PROJECT["build-system"]["requires"] + PROJECT["dependency-groups"]["build"]),
        (DEVELOPMENT, [tool for tool in PROJECT["dependency-groups"]["dev"] if isinstance(tool, str)]),
    ],
    ids=["runtime", "build", "development"],
)
def test_lock_files_hold_what_the_project_names(lock: str, requirements: list[str]) -> None:
    assert pinned(requirements).items() <= locked(lock).items()


def test_tests_run_with_the_versions_that_are_deployed() -> None:
    assert locked(RUNTIME).items() <= locked(DEVELOPMENT).items()


@pytest.mark.parametrize("name", [RUNTIME, DEVELOPMENT])
def test_every_locked_version_has_its_hashes_and_no_place_to_come_from(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]

    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index-url" not in text


def test_make_alone_lists_the_commands() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for target in ("demo", "dev", "test", "check", "lint", "format", "chaos", "bench"):
        assert re.search(rf"^  make {target} +\S", shown, flags=re.MULTILINE), target


def test_every_target_is_phony_and_explained() -> None:
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE)

    assert set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)[0].split()) == set(targets)
    assert len(re.findall(r"^[a-z-]+:.*## .+$", MAKEFILE, flags=re.MULTILINE)) == len(targets)


def test_ci_runs_what_everybody_runs() -> None:
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make test"


def test_documents_name_only_targets_and_commands_that_exist() -> None:
    from airy_identify.__main__ import main  # noqa: PLC0415 - only here

    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    text = "\n".join(document.read_text(encoding="utf-8") for document in documents)

    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    assert set(re.findall(r"`airy-identify ([a-z-]+)", text)) <= set(main.commands)
