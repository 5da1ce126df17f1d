import base64
import json

import pytest
from click.testing import CliRunner, Result

from airy_identify.__main__ import main
from airy_identify.ops.commands.config import HIDDEN, in_force
from airy_identify.settings import PREFIX, Settings, load_settings, variable

SECRETS = {"SYSTEM_TOKEN": "open-sesame", "JWT_SECRET": base64.b64encode(b"s" * 33).decode()}


def call(*arguments: str, **settings: str) -> Result:
    environment = {f"{PREFIX}{name}": value for name, value in settings.items()}
    return CliRunner().invoke(main, ["config", *arguments], env=environment | {"COLUMNS": "300"})


def rows(**settings: str) -> dict[str, tuple[object, object]]:
    result = call("--json", **settings)
    assert (result.exit_code, result.stderr) == (0, "")
    return {row["name"].removeprefix(PREFIX): (row["value"], row["source"]) for row in json.loads(result.stdout)}


def test_every_setting_is_there_with_its_value_and_where_it_comes_from() -> None:
    found = rows(PARTITIONS="4", HTTP_PORT="8080", TOPIC_PREFIX="blue-", REQUESTS_TENANTS="*", DEFAULT_REGION="")

    assert list(found) == [name.upper() for name in Settings.model_fields]
    assert found["PARTITIONS"] == (4, "environment")
    assert found["HTTP_PORT"] == (8080, "environment")
    assert found["WORKER_PORT"] == (8081, "default")
    assert found["DEFAULT_REGION"] == (None, "default")
    assert found["REQUESTS_TENANTS"] == ("*", "environment")
    assert found["DATA_DIR"] == ("data", "default")


def test_defaults_that_depend_on_other_settings_are_given_as_they_come_out() -> None:
    found = rows(TOPIC_PREFIX="blue-")

    assert found["APP_ID"] == ("blue-airy-identify", "default")
    assert found["REPLY_TOPICS"] == (["blue-identify-responses"], "default")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_secrets_are_told_to_be_set_and_nothing_else(arguments: tuple[str, ...]) -> None:
    result = call(*arguments, **SECRETS, SCHEMA_REGISTRY_URL="https://anna:pass@word@registry.example/x")

    assert result.exit_code == 0
    for secret in (*SECRETS.values(), "anna", "pass", "word@"):
        assert secret not in result.output
    assert result.output.count(HIDDEN) == 2
    assert "https://…@registry.example/x" in result.output


def test_people_get_a_table() -> None:
    result = call(CHANNEL_TENANTS='{"c-1": "shop"}', REPLY_TOPICS="b,a")

    assert result.exit_code == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines()]
    lines = {row[0]: row[1:] for row in cells if len(row) == 3}
    assert lines[variable("channel_tenants")] == ["c-1: shop", "environment"]
    assert lines[variable("reply_topics")] == ["a, b", "environment"]
    assert lines[variable("topic_prefix")][1] == "default"
    assert len([name for name in lines if name.startswith(PREFIX)]) == len(Settings.model_fields)


def test_what_is_shown_is_what_would_be_read() -> None:
    """The values of the environment, written back, give the same settings."""
    environment = {variable("partitions"): "4", variable("requests_tenants"): "a,b", variable("data_dir"): "/var/x"}
    shown = {str(row["name"]): row["value"] for row in in_force(load_settings(environment), environment)}
    texts = {
        name: ",".join(str(item) for item in value)
        if isinstance(value, list)
        else json.dumps(value)
        if value == {}
        else str(value)
        for name, value in shown.items()
        if value is not None
    }

    again = load_settings(texts)
    derived = {"app_id", "reply_topics"}
    assert again.model_dump(exclude=derived) == load_settings(environment).model_dump(exclude=derived)
    assert again.topic_names == load_settings(environment).topic_names
