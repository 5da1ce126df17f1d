"""docs/airy.md, as a reader follows it: the terminal with another `kubectl`, the lines of a backend, those of the page."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.ops.ports import free_port
from airy_identify.ops.topics import create_topics
from airy_identify.topics import declare_airy
from airy_identify.wire.resume_token import ResumeTokenVerifier
from tests.java_programs import JavaProgram, java_program
from tests.kafka.conftest import settings_of
from tests.kafka.foreign import CHANNEL, ForeignWriter, put_channel, with_java_strings
from tests.kafka.maven import SHORT_RUN
from tests.kafka.service import Service
from tests.kafka.snippets import Ran, Snippet, read_blocks, read_snippet, run_snippet, variables_of

ROOT = Path(__file__).parents[2]
AIRYS_SECRET = "Zk3" * 42 + "aB"
"""128 letters and digits, as Airy's chart makes them."""


@contextmanager
def airy(java: JavaProgram) -> Iterator[str]:
    """Give the address of a chat plugin that takes the tokens which Airy's own library takes."""

    class Plugin(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            token_is_good = "refused" not in java.ask(secret=AIRYS_SECRET, token=asked["resume_token"])
            self.send_response(200 if token_is_good and self.path == "/chatplugin.authenticate" else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Plugin) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def kubectl(directory: Path, data: dict[str, dict[str, str]]) -> Path:
    """Make a `kubectl` that knows these config maps of the namespace airy; return its folder."""
    program = directory / "kubectl"
    directory.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport re, sys\n"
        "*words, path = sys.argv[1:]\n"
        "assert words[:4] == ['--namespace', 'airy', 'get', 'configmap'] and words[5] == '--output', words\n"
        f"print({data!r}[words[4]][re.fullmatch(r'jsonpath=[{{].data[.](\\w+)[}}]', path)[1]], end='')\n"
    )
    program.chmod(0o755)
    return directory


async def test_from_a_running_airy_to_a_token_that_it_takes(
    broker: LocalKafka, registry: LocalRegistry, tmp_path: Path
) -> None:
    channel, ports = str(uuid.uuid4()), {"8080": str(free_port()), "8081": str(free_port())}
    settings = settings_of(broker, tmp_path)
    names = settings.topic_names
    await create_topics(broker.bootstrap_servers, declare_airy(names), replication_factor=1)
    put_channel(ForeignWriter(settings, registry.url), settings, channel, with_java_strings(CHANNEL))
    kafka = {
        "KAFKA_BROKERS": broker.bootstrap_servers,
        "KAFKA_SCHEMA_REGISTRY_URL": registry.url,
        "KAFKA_MINIMUM_REPLICAS": "1",
    }
    programs = kubectl(
        tmp_path / "bin", {"kafka-config": kafka, "core-config": {"CHATPLUGIN_JWT_SECRET": AIRYS_SECRET}}
    )
    blocks = [read_blocks("airy.md", section, "sh") for section in ("Settings", "Start", "Try")]
    ask_airy = blocks[2].pop()
    commands = "\n".join(block for section in blocks for block in section)
    for port, other in ports.items():
        commands = commands.replace(f"127.0.0.1:{port}", f"127.0.0.1:{other}")
    variables = {
        "AIRY_IDENTIFY_TOPIC_PREFIX": settings.topic_prefix,
        "AIRY_IDENTIFY_AIRY_CORE_NAMESPACE": settings.airy_core_namespace,
        "AIRY_IDENTIFY_DATA_DIR": str(settings.data_dir),
        "AIRY_IDENTIFY_HTTP_PORT": ports["8080"],
        "AIRY_IDENTIFY_WORKER_PORT": ports["8081"],
        "IDENTIFY_CHANNEL": channel,
    }

    snippet = Snippet(files={}, commands=f"{commands}\necho; echo all done; kill -KILL 0", installs={})
    ran = await run_snippet(snippet, tmp_path, variables, programs=programs)
    assert ran.output.endswith("all done\n"), ran
    assert AIRYS_SECRET not in ran.output + ran.errors
    answer = json.loads(re.findall(r'\{"request_id".*', ran.output)[-1])
    token = answer["conversations"][0]["resume_token"]
    assert answer["created"] == {"contact": True, "conversation": True}

    with java_program("tokens", "ReadTokens") as java, airy(java) as url:
        for shown, status in ((token, "200"), (token[:-2] + "xx", "401")):
            variables = {"AIRY_URL": url, "IDENTIFY_CHANNEL": channel, "RESUME_TOKEN": shown}
            asked = await run_snippet(Snippet(files={}, commands=ask_airy, installs={}), tmp_path, variables)
            assert asked.output.split(" ")[1] == status, asked


@pytest.mark.parametrize("section", ["JavaScript", "Python", "Java"])
async def test_the_lines_of_a_backend_give_a_token_or_none(service: Service, tmp_path: Path, section: str) -> None:
    snippet = read_snippet("airy.md", section)
    good = variables_of(service, JDK_JAVA_OPTIONS=SHORT_RUN)
    variants = {
        "good": good,
        "refused": good | {"IDENTIFY_CHANNEL": str(uuid.uuid4())},
        "nobody there": good | {"IDENTIFY_URL": f"http://127.0.0.1:{free_port()}"},
    }

    async def run(name: str) -> Ran:
        (tmp_path / name).mkdir()
        return await run_snippet(snippet, tmp_path / name, variants[name])

    found, refused, alone = await asyncio.gather(*map(run, variants))
    assert found.exit_code == 0, found
    claims = ResumeTokenVerifier([service.settings.jwt_secret_bytes]).verify(
        found.output.strip(), now_s=int(time.time())
    )
    answer = await service.identify(external_id="user-1")
    assert claims is not None
    assert claims.conversation_id == answer["conversations"][0]["id"]
    assert answer["contact"]["email"] == "ada@example.org"
    for ran in (refused, alone):
        assert (ran.exit_code, ran.output.strip().lower()) == (0, "null" if section != "Python" else "none"), ran
    assert "unknown_channel" in refused.errors
    assert "no chat to go on with" in alone.errors


async def browse(script: str, **there: Any) -> Any:
    """Run a script of a page; return what was loaded, with the storage at that moment, and the storage after it."""
    asked: dict[str, Any] = {"script": script, "storage": {}, "airy": None, "answer": None, "dataset": {}} | there
    node = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "node", ROOT / "tests" / "node" / "page.mjs"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    said, _ = await node.communicate(json.dumps(asked).encode())
    assert node.returncode == 0
    return json.loads(said)


def scripts_of_page() -> list[str]:
    return [re.sub(r"</?script>", "", block) for block in read_blocks("airy.md", "Page", "html")]


async def test_the_page_hands_the_token_to_the_widget_before_it_starts() -> None:
    token, start, _ = scripts_of_page()

    with_token = await browse(f"{token};{start}")
    (widget,) = with_token["steps"]
    assert widget["src"] == "https://airy.example.org/chatplugin/ui/s.js"
    assert widget["storage"] == {"resume_token_CHANNEL_ID": "RESUME_TOKEN"}
    assert widget["airy"]["channelId"] == "CHANNEL_ID"
    assert widget["airy"]["host"] == "https://airy.example.org"
    assert widget["airy"]["config"] == {}

    own = {"resume_token_CHANNEL_ID": "the browser's own"}
    without = await browse(start, storage=own)
    assert [step["storage"] for step in without["steps"]] == [own]


async def test_a_logout_takes_the_token_away() -> None:
    token, start, logout = scripts_of_page()

    assert (await browse(f"{token};{start};{logout}"))["storage"] == {}


@pytest.mark.parametrize(
    ("answer", "before", "after"),
    [
        ({"status": 200, "body": {"resume_token": "t"}}, {}, {"resume_token_c": "t", "chat_of_customer": "resume_token_c"}),
        ({"status": 200, "body": {"resume_token": "t"}}, {"resume_token_c": "own"}, {"resume_token_c": "t", "chat_of_customer": "resume_token_c"}),
        ({"status": 401}, {"resume_token_c": "t", "chat_of_customer": "resume_token_c"}, {}),
        ({"status": 401}, {"resume_token_c": "own"}, {"resume_token_c": "own"}),
        ({"status": 504}, {"resume_token_c": "own"}, {"resume_token_c": "own"}),
        (None, {}, {}),
    ],
    ids=["logged in", "logged in with a chat before", "logged out", "a visitor", "no answer", "no connection"],
)  # fmt: skip
async def test_the_page_of_the_spring_example_starts_the_widget_whatever_it_is_told(
    answer: Any, before: dict[str, str], after: dict[str, str]
) -> None:
    script = (ROOT / "examples" / "spring" / "src" / "main" / "resources" / "static" / "chat.js").read_text()
    found = await browse(script, answer=answer, storage=before, dataset={"channelId": "c", "host": "https://airy"})

    assert [(step["src"], step["storage"]) for step in found["steps"]] == [("https://airy/chatplugin/ui/s.js", after)]
