"""The image: read line by line, since no engine is at hand to build it, and its steps done in a directory instead."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from airy_identify.ops.ports import free_port
from airy_identify.settings import load_settings
from airy_identify.wire.schemas import schema_directory

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
HEALTHCHECK = ROOT / "deploy" / "healthcheck.py"


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage; continued lines are one."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    instructions = [Instruction(*line.split(" ", 1)) for line in lines]
    starts = [place for place, each in enumerate(instructions) if each.name == "FROM"]
    assert starts[0] == 0
    return [instructions[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


BUILD, IMAGE = stages()


def texts(stage: list[Instruction], name: str) -> list[str]:
    return [each.text for each in stage if each.name == name]


def copied(stage: list[Instruction]) -> list[str]:
    """Return what comes from the checkout."""
    words = [shlex.split(text) for text in texts(stage, "COPY")]
    return [source for each in words if not each[0].startswith("--from") for source in each[:-1]]


def test_hadolint_has_nothing_against_it() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_both_stages_have_the_same_python() -> None:
    bases = [texts(stage, "FROM")[0].split(" ")[0] for stage in (BUILD, IMAGE)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert bases[0] == bases[1]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases[0])
    assert f">={bases[0][7:11]}" == project["requires-python"]


def test_what_is_installed_has_the_hashes_of_the_lock_file() -> None:
    commands = [command for text in texts(BUILD, "RUN") for command in text.split("&&")]
    installs = [command for command in commands if "pip install" in command or "pip wheel" in command]

    assert any("--require-hashes --requirement requirements.lock" in command for command in installs)
    assert all("--require-hashes" in command or "--no-deps" in command for command in installs)
    assert not any(word in DOCKERFILE.read_text(encoding="utf-8") for word in ("://", "index-url", "curl", "wget"))


def test_only_what_is_copied_may_be_copied() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sources = [source.removeprefix("./") for source in copied(BUILD) + copied(IMAGE)]

    assert {f"!{source}" for source in sources} == {line for line in allowed if line.startswith("!")}
    assert "*" in allowed
    assert all((ROOT / source).exists() for source in sources)
    assert texts(BUILD, "ADD") + texts(IMAGE, "ADD") == []


def test_the_process_is_nobody_writes_one_directory_and_gets_the_signals() -> None:
    (user,), (volume,), (entry,) = (texts(IMAGE, name) for name in ("USER", "VOLUME", "ENTRYPOINT"))
    (made,) = texts(IMAGE, "RUN")
    user_id, group_id = user.split(":")

    assert int(user_id) > 0
    assert made == f"install --directory --owner={user_id} --group={group_id} --mode=0700 {volume}"
    assert json.loads(entry) == ["/opt/airy-identify/bin/airy-identify"]
    assert [json.loads(text) for text in texts(IMAGE, "CMD")] == [["worker"]]
    names = [each.name for each in IMAGE]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in {"RUN", "COPY"})


def test_the_image_has_good_settings_and_no_secret() -> None:
    words = shlex.split(" ".join(texts(IMAGE, "ENV")))
    environment = dict(word.split("=", 1) for word in words)
    settings = load_settings({name: text for name, text in environment.items() if name.startswith("AIRY_IDENTIFY_")})

    assert settings.system_token is None
    assert settings.jwt_secret is None
    assert str(settings.data_dir) == texts(IMAGE, "VOLUME")[0]
    assert texts(IMAGE, "EXPOSE") == [f"{settings.http_port} {settings.worker_port}"]
    assert not re.search(r"(?i)(secret|token|password)\w*=", DOCKERFILE.read_text(encoding="utf-8"))
    assert texts(BUILD, "ARG") + texts(IMAGE, "ARG") == []


def test_nothing_that_the_service_needs_is_taken_out_again() -> None:
    (command,) = re.findall(r"pip uninstall --yes (.*)$", "\n".join(texts(BUILD, "RUN")), flags=re.MULTILINE)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in set(command.split()) - {"pip", "setuptools"}:
        (entry,) = re.findall(rf"^{name}==.*?\n(?=\S|\Z)", lock, flags=re.MULTILINE | re.DOTALL)
        wanted_by = set(re.findall(r"^ +# +(?:via )?([\w-]+)", entry, flags=re.MULTILINE)) - {"via"}
        assert wanted_by <= {"hatchling", "airy-identify"}, name


def test_the_package_is_built_from_what_is_copied_and_runs(tmp_path: Path) -> None:
    """The steps of the first stage, with the tools and dependencies of this environment."""
    context, installed = tmp_path / "context", tmp_path / "installed"
    for source in copied(BUILD):
        (context / source).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / source, context / source], check=True)
    (command,) = re.findall(r"/bin/(pip wheel [^&]*?) &&", "\n".join(texts(BUILD, "RUN")))
    arguments = [*shlex.split(command)[1:], "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *arguments], cwd=context, check=True)
    (wheel,) = (context / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    built = {path.name for path in (installed / "airy_identify" / "schemas").glob("*.avsc")}
    assert built == {path.name for path in schema_directory().glob("*.avsc")}
    refused = run_installed(installed, "worker")
    assert refused.returncode == 2
    assert "AIRY_IDENTIFY_JWT_SECRET is not set" in refused.stderr
    shown = run_installed(installed, "asyncapi")
    assert json.loads(shown.stdout)["asyncapi"].startswith("3."), shown.stderr


def run_installed(installed: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command from where it was installed, and not from the checkout."""
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import airy_identify.__main__ as ours;"
        "assert ours.__file__.startswith(sys.path[0]); ours.main(prog_name='airy-identify')"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(installed), *arguments],
        cwd=installed,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


class _Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("variable", ["AIRY_IDENTIFY_WORKER_PORT", "AIRY_IDENTIFY_HTTP_PORT"])
def test_the_health_check_asks_worker_and_bridge_where_their_settings_say(variable: str) -> None:
    (check,) = texts(IMAGE, "HEALTHCHECK")
    other = {"AIRY_IDENTIFY_WORKER_PORT": str(free_port()), "AIRY_IDENTIFY_HTTP_PORT": str(free_port())}
    with HTTPServer(("127.0.0.1", 0), _Alive) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        alive = checked(other | {variable: str(server.server_port)})
        server.shutdown()

    assert alive == 0
    assert checked(other) == 1
    assert json.loads(check[check.index("[") :])[1].endswith(HEALTHCHECK.name)


def checked(environment: dict[str, str]) -> int:
    return subprocess.run([sys.executable, HEALTHCHECK], env=environment, check=False).returncode
