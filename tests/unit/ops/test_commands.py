import asyncio
import gc
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import click
import pytest
from aiokafka.errors import ProducerFenced
from click.testing import CliRunner, Result

from airy_identify.__main__ import main
from airy_identify.ops.commands import base
from airy_identify.ops.commands.answer_tables import print_answer, print_info
from airy_identify.ops.commands.dev import curl_line, export_lines
from airy_identify.ops.commands.identify import build_request
from airy_identify.ops.commands.state import canonical
from airy_identify.ops.ports import free_port
from airy_identify.settings import PREFIX


def call(*arguments: str, **settings: str) -> Result:
    environment = {f"{PREFIX}{name}": value for name, value in settings.items()}
    return CliRunner().invoke(main, arguments, env=environment, prog_name="airy-identify")


def commands_of(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            yield from commands_of(part, (*path, name))


ALL = dict(commands_of(main))


def test_the_commands_are_these() -> None:
    assert {" ".join(path) for path in ALL if path} == {
        "dev",
        "demo",
        "worker",
        "web",
        "topics",
        "topics create",
        "topics check",
        "schemas",
        "schemas register",
        "schemas check",
        "identify",
        "person",
        "person show",
        "person merge",
        "person unmerge",
        "person release",
        "person forget",
        "state",
        "state get",
        "state stats",
        "dead-letters",
        "dead-letters list",
        "dead-letters show",
        "dead-letters retry",
        "dead-letters export",
        "openapi",
        "asyncapi",
        "clients",
        "clients hash",
        "clients list",
        "clients check",
        "config",
        "completion",
        "skip",
        "skips",
        "top",
        "rebuild",
        "verify",
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_help_has_an_example_that_names_the_command(path: tuple[str, ...]) -> None:
    result = call(*path, "--help")

    assert result.exit_code == 0
    example = result.output[result.output.index("Example:") :]
    assert " ".join(("airy-identify", *path)) in " ".join(example.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("unknown",),
        ("topics", "check", "extra"),
        ("identify",),
        ("identify", "--channel-id", "c", "--metadata", "["),
        ("identify", "--channel-id", "c", "--metadata", "[]"),
        ("identify", "--channel-id", "c", "--identifier", "device_id"),
        ("identify", "--channel-id", "c", "--identifier", "email=a@b.example"),
        ("identify", "--channel-id", "c", "--unverified", "external_id"),
        ("person", "show"),
        ("person", "show", "id", "--email", "a@b.example"),
        ("person", "show", "--email", "a@b.example", "--identifier", "device=1"),
        ("person", "merge", "id"),
        ("person", "release", "id"),
        ("person", "release", "id", "--email", "a@b.example", "--external-id", "u"),
        ("person", "forget"),
        ("person", "unmerge", "id", "--timeout", "0"),
        ("state", "get"),
        ("state", "get", "id", "--email", "a@b.example"),
        ("state", "get", "--email", "no address"),
        ("state", "get", "--external-id", "  "),
        ("dead-letters", "show", "3"),
        ("dead-letters", "list", "--newest", "0"),
        ("dead-letters", "retry"),
        ("dead-letters", "retry", "3"),
        ("dead-letters", "retry", "3:1", "--all"),
        ("dead-letters", "retry", "--code", "x", "--all"),
        ("dead-letters", "export", "--output", "."),
        ("dev", "--http-port", "0"),
        ("completion",),
        ("completion", "tcsh"),
        ("skip", "identity-commands:3:17"),
        ("skip", "identity-commands:3", "--reason", "x"),
        ("skip", "identity-commands:3:17", "--reason", "  "),
        ("skip", "identity-commands:3:17", "--reason", "x", "--by", "x" * 1001),
        ("verify", "--table", "intake"),
        ("verify", "--partition", "-1"),
        ("rebuild", "--table", "skips"),
        ("rebuild", "--answered-to", "7"),
        ("rebuild", "--answered-to", "7", "--offline", "--partition", "1"),
        ("rebuild", "--all-at-once", "--offline"),
        ("rebuild", "--discard-old", "--offline"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)

    assert result.exit_code == 2
    assert "Error" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("worker",),
        ("web",),
        ("topics", "check"),
        ("identify", "--channel-id", "c"),
        ("config",),
        ("asyncapi",),
    ],
)
def test_wrong_settings_end_with_2_and_are_all_named(command: tuple[str, ...]) -> None:
    result = call(*command, PARTITIONS="0", HTTP_PORT="x", NONSENSE="1")

    assert result.exit_code == 2
    assert result.stdout == ""
    for name in ("PARTITIONS", "HTTP_PORT", "NONSENSE"):
        assert f"{PREFIX}{name}" in result.stderr


@pytest.mark.parametrize(("command", "missing"), [("worker", ["JWT_SECRET"]), ("web", ["SYSTEM_TOKEN", "JWT_SECRET"])])
def test_processes_do_not_start_without_secrets(command: str, missing: list[str]) -> None:
    result = call(command)

    assert result.exit_code == 2
    assert [line.split()[0] for line in result.stderr.replace("Error: ", "").splitlines()] == [
        f"{PREFIX}{name}" for name in missing
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "create"),
        ("topics", "check"),
        ("state", "stats"),
        ("state", "get", "x"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "0:0"),
        ("dead-letters", "retry", "--all", "--yes"),
        ("dead-letters", "export"),
        ("identify", "--channel-id", "c", "--external-id", "u"),
        ("person", "show", "id"),
        ("person", "merge", "id", "other"),
        ("person", "forget", "id", "--yes"),
        ("skip", "identity-commands:0:0", "--reason", "r"),
        ("skips",),
        ("verify",),
        ("rebuild",),
        ("rebuild", "--check"),
        ("rebuild", "--discard-old", "--yes"),
    ],
)
def test_kafka_away_is_one_line_and_ends_with_1(arguments: tuple[str, ...]) -> None:
    address = f"127.0.0.1:{free_port()}"

    result = call(*arguments, KAFKA_BOOTSTRAP_SERVERS=address)

    assert result.exit_code == 1
    assert result.stderr.strip() == f"Error: Kafka at {address} does not answer (KafkaConnectionError)"


def test_missing_java_ends_with_2(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))

    result = call("demo")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Java 17 or newer is needed and `java` was not found: install it, or ")
    assert len(result.stderr.splitlines()) == 1


def test_options_become_the_fields_of_the_request() -> None:
    fields: dict[str, Any] = {"channel_id": "c", "email": "a@b.example", "dry_run": True, "external_id": None}

    request = build_request(fields, (("device_id", "1"), ("device_id", "2"), ("crm", "x")), ("email",))

    assert request.pop("request_id")
    assert request == {
        "channel_id": "c",
        "email": "a@b.example",
        "dry_run": True,
        "identifiers": {"device_id": ["1", "2"], "crm": ["x"]},
        "unverified": ["email"],
    }


def test_a_request_id_is_kept_and_nothing_absent_is_sent() -> None:
    assert build_request({"channel_id": "c", "dry_run": False, "request_id": "r"}, (), ()) == {
        "channel_id": "c",
        "request_id": "r",
    }


def test_identifiers_are_looked_up_in_canonical_form() -> None:
    assert canonical("email", " Ada@Example.ORG ", None) == "ada@example.org"
    assert canonical("phone_number", "+521 55 1234 5678", None) == "+525512345678"
    assert canonical("phone_number", "0151 12345678", "DE") == "+4915112345678"
    assert canonical("device_id", " Abc ", None) == "Abc"
    with pytest.raises(click.BadParameter):
        canonical("phone_number", "12", None)


def test_an_answer_is_shown_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    answer = {
        "request_id": "r-1",
        "contact": {"id": "c-1", "email": "ada@example.org", "identifiers": {"crm": ["1", "2"]}, "phone_number": None},
        "conversations": [
            {"id": "v-1", "channel": {"id": "h-1"}, "created_at": "x", "resume_token": "a.b.c", "last_message": None},
            {
                "id": "v-2",
                "channel": {"id": "h-2"},
                "created_at": "x",
                "resume_token": "d.e.f",
                "last_message": {"sent_at": "2026-02-02"},
            },
        ],
        "created": {"contact": False, "conversation": False},
        "merged": ["m-1"],
        "warnings": [{"field": "email", "message": "belongs to somebody else"}],
        "truncated": True,
        "explanation": {
            "target": "found",
            "by": "phone_number",
            "keys": [{"field": "email", "level": "hard", "outcome": "conflict", "why": "It stays there."}],
        },
    }

    print_answer(answer)

    shown = capsys.readouterr().out
    for text in (
        "found",
        "r-1",
        "c-1",
        "crm: 1, 2",
        "v-1",
        "a.b.c",
        "2026-02-02",
        "h-2",
        "merged into it: m-1",
        "why: found by phone_number",
        "It stays there.",
        "warning: email: belongs",
        "more than",
    ):
        assert text in shown
    assert shown.count("phone_number") == 1


def test_a_journal_too_large_for_an_answer_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    built_in = dict.fromkeys(("external_id", "email", "phone_number"))
    entry = {"merged_id": "m-1", "into_id": "c-1", "merged_at": "then", "why": "email", "request_id": "r", "offset": 7}
    answer = {
        "contact": built_in | {"id": "c-1", "identifiers": {}, "unverified": []},
        "conversations": [],
        "aliases": [],
        "journal": [entry | {"survivor_before": None, "merged_before": None}],
        "truncated": False,
    }

    print_info(answer, "log:3")

    shown = capsys.readouterr().out
    assert "merged: m-1 into c-1, then" in shown
    assert "from log:3:7, request r" in shown
    assert "would be too large" in shown
    assert "also known by" not in shown


def test_tables_show_control_characters_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    base.print_table("t", ("a",), [("\x1b[31m[bold]x",), (None,)])

    shown = capsys.readouterr().out
    assert "\\x1b[31m[bold]x" in shown
    assert "\x1b" not in shown


def test_the_export_lines_survive_a_shell() -> None:
    script = export_lines({"ONE": "it's $HOME", "TWO": "a b"}) + '\nprintf \'%s\\n\' "$ONE" "$TWO"'
    shown = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert shown.splitlines() == ["it's $HOME", "a b"]


def test_the_curl_line_survives_a_shell() -> None:
    line = curl_line("http://127.0.0.1:1", "it's $HOME", "c'1")

    shown = line.replace("curl", "printf '%s\\n'", 1)
    words = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, text=True, check=True)

    arguments = words.stdout.splitlines()
    assert "Authorization: Bearer it's $HOME" in arguments
    assert json.loads(arguments[-1])["channel_id"] == "c'1"


def test_a_fenced_producer_writes_no_traceback_of_a_future_that_nobody_waits_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        for error in (ProducerFenced(), ValueError("a defect")):
            asyncio.get_running_loop().create_future().set_exception(error)
        gc.collect()

    base.run(work())
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records if record.name == "asyncio"] == [
        "a defect"
    ]
