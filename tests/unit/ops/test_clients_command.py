"""`clients`: secrets are made and hashed, files are checked; neither secrets nor hashes are shown again."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from airy_identify.__main__ import main
from airy_identify.intake.client_secrets import is_secret, read_hash
from tests.client_files import HASH, KEYS, SECRET, make_file, public_pem


def run(*words: str, given: str | None = None, file: Path | None = None) -> Result:
    environment = {} if file is None else {"AIRY_IDENTIFY_CLIENTS_FILE": str(file)}
    return CliRunner().invoke(main, ["clients", *words], input=given, env=environment, prog_name="airy-identify")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clients.toml"
    keys = [public_pem(KEYS["ES256"])]
    path.write_bytes(make_file(shop={"channels": ["c-1"], "commands": ["identify"], "jwt_keys": keys}))
    return path


def test_a_new_secret_comes_with_its_hash() -> None:
    made = [json.loads(run("hash", "--json").stdout) for _ in range(2)]
    assert made[0]["secret"] != made[1]["secret"]
    assert all(is_secret(each["secret"]) and read_hash(each["hash"]).matches(each["secret"]) for each in made)
    words = run("hash").stdout.split()
    assert words[::2] == ["secret", "hash"]
    assert read_hash(words[3]).matches(words[1])


def test_a_secret_on_standard_input_is_hashed_and_not_printed() -> None:
    result = run("hash", "--stdin", given=f"{SECRET}\n")
    assert read_hash(result.stdout.split()[1]).matches(SECRET)
    assert SECRET not in result.output
    assert "secret" not in json.loads(run("hash", "--stdin", "--json", given=SECRET).stdout)


def test_a_weak_secret_is_refused() -> None:
    result = run("hash", "--stdin", given="short\n")
    assert (result.exit_code, "short" in result.output) == (1, False)


def test_the_list_shows_who_may_use_what_and_no_hash(file: Path) -> None:
    shown = {"tenants": "*", "channels": ["c-1"], "commands": ["identify"], "requests_per_second": None}
    for result in (run("list", str(file), "--json"), run("list", "--json", file=file)):
        assert json.loads(result.stdout) == [{"client": "shop", "secrets": 1, "keys": ["ES256"]} | shown]
    table = run("list", str(file)).stdout
    assert "shop" in table
    assert HASH not in table


def test_check_says_whether_a_file_can_be_used(file: Path) -> None:
    assert run("check", str(file)).stdout == "the file can be used: 1 client\n"
    file.write_bytes(make_file(shop={"tenants": [], "channels": []}))
    result = run("check", file=file)
    assert result.exit_code == 2
    assert "shop.tenants" in result.stderr
    assert "shop.channels" in result.stderr


def test_without_a_file_there_is_nothing_to_check() -> None:
    result = run("check")
    assert (result.exit_code, "AIRY_IDENTIFY_CLIENTS_FILE" in result.stderr) == (2, True)


def test_a_bridge_does_not_start_with_a_file_that_cannot_be_used(file: Path) -> None:
    file.write_bytes(make_file(shop={"tenants": []}))
    environment = {
        "AIRY_IDENTIFY_SYSTEM_TOKEN": "token",
        "AIRY_IDENTIFY_JWT_SECRET": "A" * 44,
        "AIRY_IDENTIFY_CLIENTS_FILE": str(file),
    }
    result = CliRunner().invoke(main, ["web"], env=environment, prog_name="airy-identify")
    assert (result.exit_code, "shop.tenants" in result.stderr) == (2, True)
