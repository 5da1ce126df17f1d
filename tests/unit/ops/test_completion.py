import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from airy_identify.__main__ import main

ROOT = Path(__file__).parents[3]


def script(shell: str) -> str:
    result = CliRunner().invoke(main, ["completion", shell])
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return a directory with the program, as an installation has it."""
    path = tmp_path / "airy-identify"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m airy_identify "$@"\n')
    path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("airy-identify topics c", ["create", "check"]),
        ("airy-identify dead-letters list --ne", ["--newest"]),
        ("airy-identify completion f", ["fish"]),
    ],
)
def test_bash_completes_commands_and_options(program: Path, typed: str, completed: list[str]) -> None:
    words = typed.split()
    lines = (
        "source <(airy-identify completion bash)",
        f"COMP_WORDS=({' '.join(words)})",
        f"COMP_CWORD={len(words) - 1}",
        "compopt() { :; }",
        # The function that bash would call, as the script has registered it.
        'registered=$(complete -p airy-identify); [[ $registered =~ -F\\ ([^ ]+) ]]; "${BASH_REMATCH[1]}" airy-identify',
        'printf "%s\\n" "${COMPREPLY[@]}"',
    )
    bash = shutil.which("bash")
    assert bash is not None
    environment = {"PATH": f"{program}:/usr/bin:/bin"}
    done = subprocess.run(
        [bash, "--norc", "-c", "\n".join(lines)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == sorted(completed)


@pytest.mark.parametrize(
    ("shell", "mark"), [("zsh", "#compdef airy-identify"), ("fish", "complete --no-files --command airy-identify")]
)
def test_the_other_shells_have_their_scripts(shell: str, mark: str) -> None:
    assert mark in script(shell)
    assert f"_AIRY_IDENTIFY_COMPLETE={shell}_complete" in script(shell)
