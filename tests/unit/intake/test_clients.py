"""The file of clients: what it may say, and everything that is wrong with it at once."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airy_identify.intake.client_secrets import SecretHash, hash_secret, is_secret, read_hash
from airy_identify.intake.clients import ClientsFileError, load_clients, parse_clients
from airy_identify.intake.policy import IntakePolicy
from tests.client_files import HASH, KEYS, NEW_HASH, SECRET, WRONG_SECRET, make_file, public_pem

PRIVATE_PEM = KEYS["EdDSA"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def problems_of(data: bytes) -> tuple[str, ...]:
    with pytest.raises(ClientsFileError) as raised:
        parse_clients(data)
    for secret in (SECRET, HASH.rpartition("$")[2], PRIVATE_PEM.splitlines()[1]):
        assert secret not in str(raised.value)
    return raised.value.problems


def test_a_whole_client() -> None:
    pems = [public_pem(KEYS["RS256"]), public_pem(KEYS["ES256"])]
    data = make_file(
        shop={
            "secrets": [HASH, NEW_HASH],
            "jwt_keys": pems,
            "tenants": ["acme", "default"],
            "channels": ["c-1"],
            "commands": ["identify", "resume_token"],
            "requests_per_second": 5,
        }
    )
    (client,) = parse_clients(data).values()
    assert (client.name, client.requests_per_second) == ("shop", 5)
    assert [each.text for each in client.secrets] == [HASH, NEW_HASH]
    assert [key.algorithm for key in client.keys] == ["RS256", "ES256"]
    bound = client.bind(IntakePolicy(default_region="DE"))
    assert bound == IntakePolicy(
        default_region="DE",
        allowed_tenants=frozenset({"acme", "default"}),
        allowed_channels=frozenset({"c-1"}),
        allowed_commands=frozenset({"identify", "resume_token"}),
    )
    assert HASH not in repr(client)


def test_a_star_is_all_and_an_empty_file_has_nobody() -> None:
    (client,) = parse_clients(make_file(shop={})).values()
    assert (client.tenants, client.channels, client.commands, client.requests_per_second) == (None, None, None, None)
    assert parse_clients(b"") == {}


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("Shop", {}, "Shop: "),
        ("system", {}, "system: "),
        ("a" * 65, {}, "a" * 65 + ": "),
        ("shop", {"secret": "x"}, "shop: secret is unknown"),
        ("shop", {"secrets": SECRET}, "shop.secrets: must be a list"),
        ("shop", {"secrets": [SECRET]}, "shop.secrets: number 1 is no hash"),
        ("shop", {"secrets": [HASH, NEW_HASH, HASH]}, "shop.secrets: must be a list of up to 2"),
        ("shop", {"secrets": [HASH.replace("$15$", "$20$")]}, "shop.secrets: number 1"),
        ("shop", {"secrets": [HASH.replace("$15$", "$10$")]}, "shop.secrets: number 1"),
        ("shop", {"secrets": [HASH.replace("$8$", "$9$")]}, "shop.secrets: number 1"),
        ("shop", {"secrets": [HASH.replace("$1$", "$0$")]}, "shop.secrets: number 1"),
        ("shop", {"secrets": ["scrypt$15$8$1$" + "a" * 25 + HASH[-44:]]}, "shop.secrets: number 1"),
        ("shop", {"secrets": [], "jwt_keys": []}, "shop.secrets: without"),
        ("shop", {"secrets": None}, "shop.secrets: without"),
        ("shop", {"jwt_keys": ["no key"]}, "shop.jwt_keys: number 1 is no public key"),
        ("shop", {"jwt_keys": [PRIVATE_PEM]}, "shop.jwt_keys: number 1 is a private key"),
        ("shop", {"jwt_keys": [public_pem(generate_private_key(SECP384R1()))]}, "shop.jwt_keys: number 1 is a key"),
        ("shop", {"jwt_keys": [public_pem(generate_rsa(65537, 1024))]}, "shop.jwt_keys: number 1 is a key"),
        ("shop", {"tenants": None}, "shop.tenants: must be there"),
        ("shop", {"tenants": []}, "shop.tenants: must be there"),
        ("shop", {"tenants": ["Acme"]}, "shop.tenants: must be there"),
        ("shop", {"tenants": ["*"]}, "shop.tenants: must be there"),
        ("shop", {"channels": None}, "shop.channels: must be there"),
        ("shop", {"channels": [""]}, "shop.channels: must be there"),
        ("shop", {"commands": None}, "shop.commands: must be there"),
        ("shop", {"commands": ["erase"]}, "shop.commands: must be there"),
        ("shop", {"channels": ["c-1"], "commands": ["info"]}, "shop.commands: info: only with channels"),
        ("shop", {"channels": ["c-1"]}, "shop.commands: forget, info, merge, release, unmerge: only"),
        ("shop", {"requests_per_second": 0}, "shop.requests_per_second: must be"),
        ("shop", {"requests_per_second": True}, "shop.requests_per_second: must be"),
        ("shop", {"requests_per_second": "5"}, "shop.requests_per_second: must be"),
    ],
)
def test_what_is_wrong_is_named_by_client_and_field(name: str, fields: dict[str, Any], problem: str) -> None:
    (found,) = problems_of(make_file(**{name: fields}))
    assert found.startswith(problem)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    data = make_file(shop={"tenants": [], "channels": []}, Other={"secrets": ["x"]})
    assert [problem.partition(":")[0] for problem in problems_of(data)] == [
        "shop.tenants",
        "shop.channels",
        "Other",
        "Other.secrets",
    ]


def test_two_clients_do_not_share_a_secret() -> None:
    assert problems_of(make_file(shop={}, other={})) == ("other.secrets: the same as one of shop",)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[shop]\n[", "is no TOML: see"),
        (b"[shop]\nsecrets = x", "is no TOML: see line 2, column 11"),
        (b'[shop]\nsecrets = ["' + SECRET.encode() + b'"', "is no TOML: see end of document"),
        (b"\xff", "is not UTF-8"),
        (b"#" * (1024 * 1024 + 1), "is larger than"),
        (b"shop = 7", "shop: must be a table"),
        (b'["a\\nb"]', "…: a client's name is"),
    ],
)
def test_what_is_no_file_of_clients(data: bytes, problem: str) -> None:
    assert problem in "\n".join(problems_of(data))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ClientsFileError, match="cannot be read: No such file"):
        load_clients(tmp_path / "none.toml")
    (tmp_path / "clients.toml").write_bytes(make_file(shop={}))
    assert list(load_clients(tmp_path / "clients.toml")) == ["shop"]


def test_a_hash_is_of_one_secret() -> None:
    hashed = hash_secret(SECRET, b"salt" * 4)
    assert hashed.matches(SECRET)
    assert not hashed.matches(WRONG_SECRET)
    assert read_hash(hashed.text) == hashed
    assert hashed != hash_secret(SECRET, b"pepper" * 3)
    assert hashed.text not in repr(hashed)


def test_a_hash_is_that_of_rfc_7914() -> None:
    """Vector of the RFC's section 12 with N = 2^14, r = 8, p = 1: the first 32 of its 64 bytes."""
    wanted = bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    salt, digest = (base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (b"SodiumChloride", wanted))
    assert SecretHash(f"scrypt$14$8$1${salt}${digest}").matches("pleaseletmein")


@pytest.mark.parametrize("text", ["", "s" * 31, "s" * 129, "s" * 31 + ".", "s" * 32 + "\n", "ß" * 32])
def test_what_can_be_no_secret(text: str) -> None:
    assert not is_secret(text)
