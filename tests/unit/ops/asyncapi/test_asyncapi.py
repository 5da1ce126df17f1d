"""The AsyncAPI document: valid by AsyncAPI's own parser, complete, and about the topics that there are."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from airy_identify.__main__ import main
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import ChannelId, ConversationId, RequestId
from airy_identify.intake.accept import COMMANDS, accept
from airy_identify.intake.policy import IntakePolicy, Request, Stamp
from airy_identify.ops.asyncapi.document import asyncapi
from airy_identify.settings import Settings
from airy_identify.topics import AIRY_PARTITIONS, declare
from airy_identify.wire.answers import ACCEPTED_SCHEMAS, ERROR_RESPONSE, error_body
from airy_identify.wire.schemas import schema_directory
from tests.builders import ACCEPTED_AT_MS, make_channel, make_channels, make_reply_to
from tests.node.packages import install, run

CHECK = Path(__file__).parents[3] / "node" / "asyncapi" / "check.mjs"
DOCUMENT = asyncapi(Settings())
INFORMATION = 2
"""A remark, such as that there is a newer AsyncAPI; anything below is a warning or an error."""

Break = Callable[[dict[str, Any]], None]


def said(*documents: dict[str, Any]) -> list[list[str]]:
    """Return what AsyncAPI's parser finds wrong with each document."""
    install(CHECK.parent)
    return [
        [f"{each['path']}: {each['message']}" for each in found if each["severity"] < INFORMATION]
        for found in json.loads(run(CHECK, stdin=json.dumps(documents)))
    ]


def lost_message(document: dict[str, Any]) -> None:
    del document["components"]["messages"]["IdentifyRequest"]


def message_of_another_channel(document: dict[str, Any]) -> None:
    document["operations"]["identify"]["messages"][0]["$ref"] = "#/channels/replies/messages/ErrorResponse"


def broken(fault: Break) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    fault(document)
    return document


def test_it_is_valid_and_a_broken_one_would_be_found() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    faults = (lost_message, message_of_another_channel)
    about_it, *about_broken_ones = said(DOCUMENT, *(broken(fault) for fault in faults))
    assert about_it == []
    assert [bool(found) for found in about_broken_ones] == [True] * len(faults)


def test_it_has_every_topic_with_its_partitions_and_settings() -> None:
    settings = Settings(topic_prefix="blue-", partitions=3, airy_core_namespace="shop", replication_factor=3)
    names = settings.topic_names
    channels = {channel["address"]: channel for channel in asyncapi(settings)["channels"].values()}
    ours = declare(names, partitions=3, messages_partitions=AIRY_PARTITIONS, production=True)

    airys = {names.airy_messages, names.airy_channels, names.airy_contacts}
    assert set(channels) == {topic.name for topic in ours} | airys | {None}
    for topic in ours:
        binding = channels[topic.name]["bindings"]["kafka"]
        assert (binding["topic"], binding["partitions"], binding["replicas"]) == (topic.name, topic.partitions, 3)
        told = binding["topicConfiguration"]
        assert told["cleanup.policy"] == [topic.config["cleanup.policy"]]
        for name in ("retention.ms", "delete.retention.ms", "max.message.bytes"):
            assert str(told.get(name)) == str(topic.config.get(name))


def test_it_names_the_confluent_wire_format_where_there_is_a_registry() -> None:
    url = "http://registry:8081"
    told = [asyncapi(settings)["info"]["description"] for settings in (Settings(), Settings(schema_registry_url=url))]
    assert ["Confluent" in description for description in told] == [False, True]


def test_every_schema_that_is_on_a_topic_is_there_as_its_file_has_it() -> None:
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in schema_directory().glob("*.avsc")}
    schemas = DOCUMENT["components"]["schemas"]
    avro = {name.removesuffix("Avro"): schema["schema"] for name, schema in schemas.items() if name.endswith("Avro")}

    assert avro == files
    used = {reference for channel in DOCUMENT["channels"].values() for reference in channel["messages"]}
    assert used == set(DOCUMENT["components"]["messages"])


def test_every_command_is_an_operation_with_its_reply() -> None:
    operations = DOCUMENT["operations"]
    assert set(COMMANDS) <= set(operations)
    answers = set()
    for command in COMMANDS:
        reply = operations[command]["reply"]
        assert reply["address"]["location"] == "$message.header#/kafka_replyTopic"
        assert DOCUMENT["channels"]["replies"]["address"] is None
        names = {reference["$ref"].rsplit("/", 1)[1] for reference in reply["messages"]}
        assert {"ErrorResponse", "ErrorResponseAvro"} < names
        answers |= {name for name in names if not name.endswith("Avro")}
    assert {f"airy_identify.{name}" for name in answers} == ACCEPTED_SCHEMAS | {ERROR_RESPONSE}


@pytest.mark.parametrize("command", COMMANDS)
def test_its_example_of_each_command_is_accepted(command: str) -> None:
    record = DOCUMENT["operations"][command]["messages"][0]["$ref"].rsplit("/", 1)[1]
    (example,) = DOCUMENT["components"]["messages"][record]["examples"]
    schema = DOCUMENT["components"]["schemas"][record]
    jsonschema.Draft7Validator(schema).validate(example["payload"])
    request = Request(
        fields=example["payload"],
        request_id=RequestId("r"),
        stamp=Stamp(accepted_at_ms=ACCEPTED_AT_MS, new_id=ConversationId("n")),
        reply_to=make_reply_to(),
        channels=make_channels(make_channel(id=ChannelId("7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10"))),
        policy=IntakePolicy(),
    )
    assert not isinstance(accept(request), Rejected)
    if command != "identify":
        with pytest.raises(jsonschema.ValidationError, match="'command' is a required"):
            jsonschema.Draft7Validator(schema).validate({})


def test_errors_have_the_codes_that_intake_and_the_rules_give() -> None:
    schema = DOCUMENT["components"]["schemas"]["ErrorResponse"]
    codes = schema["properties"]["code"]["enum"]
    assert {"malformed_json", "unknown_channel", "forbidden", "identifier_conflict", "not_latest_merge"} < set(codes)
    assert {"unauthorized", "timeout", "rate_limited", "method_not_allowed"}.isdisjoint(codes)
    refused = accept(
        Request(
            fields={"external_id": 7, "channel_id": "c"},
            request_id=RequestId("r"),
            stamp=Stamp(accepted_at_ms=ACCEPTED_AT_MS, new_id=ConversationId("n")),
            reply_to=make_reply_to(),
            channels=make_channels(),
            policy=IntakePolicy(),
        )
    )
    assert isinstance(refused, Rejected)
    jsonschema.Draft7Validator(schema).validate(error_body(refused, RequestId("r")).members)


def test_the_command_prints_it_with_the_names_of_the_installation() -> None:
    environment = {
        "AIRY_IDENTIFY_TOPIC_PREFIX": "blue-",
        "AIRY_IDENTIFY_KAFKA_BOOTSTRAP_SERVERS": "a.example:1,b.example:2",
    }
    result = CliRunner().invoke(main, ["asyncapi"], env=environment)

    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document == asyncapi(Settings(topic_prefix="blue-", kafka_bootstrap_servers="a.example:1,b.example:2"))
    assert [server["host"] for server in document["servers"].values()] == ["a.example:1", "b.example:2"]
