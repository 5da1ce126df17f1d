"""The settings: every `AIRY_IDENTIFY_*` environment variable, declared once, all errors reported at once.

The environment is an argument of `load_settings`; nothing here reads it by itself, and nothing prints a secret.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import phonenumbers
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import EnvSettingsSource

from airy_identify.topics import TopicNames
from airy_identify.wire.resume_token import SECRET_BYTES_MIN, decode_secret

PREFIX = "AIRY_IDENTIFY_"
WORKER_REQUIRES = ("jwt_secret",)
"""What a worker cannot do without: it mints the resume tokens."""
BRIDGE_REQUIRES = ("system_token", "jwt_secret")
"""What a bridge cannot do without: with either unset it does not start."""

_ANY = "*"
_TENANT = re.compile(r"[a-z0-9_-]{1,64}")
_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_PORT_MAX = 65535


class SettingsError(Exception):
    """One or more settings are missing, wrong or unknown; `problems` has one line for each.

    Operator action: set the environment variables that the lines name.
    """

    retriable = False

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def variable(field: str) -> str:
    """Return the name of the environment variable of a field of `Settings`."""
    return PREFIX + field.upper()


def _split_list(value: object) -> object:
    """Read `a,b` as a set and `*` as null, which stands for "all"; leave everything else as it is."""
    if not isinstance(value, str):
        return value
    items = frozenset(item.strip() for item in value.split(","))
    if "" in items:
        raise ValueError("an empty item")
    return None if items == {_ANY} else items


def _parse_mapping(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _check_servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        match = _SERVER.fullmatch(server)
        if match is None or not 0 < int(match[1]) <= _PORT_MAX:
            raise ValueError(server)
    return ",".join(servers)


def _check_region(value: str) -> str:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(value)
    return value


def _check_tenants(tenants: Iterable[str] | None) -> None:
    for tenant in tenants or ():
        if _TENANT.fullmatch(tenant) is None:
            raise ValueError(tenant)


def _check_tenant_list(value: frozenset[str] | None) -> frozenset[str] | None:
    _check_tenants(value)
    return value


def _check_tenant_mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    _check_tenants(value.values())
    return value


def _check_system_token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("not printable ASCII")
    return value


def _check_jwt_secret(value: SecretStr) -> SecretStr:
    if len(decode_secret(value.get_secret_value())) < SECRET_BYTES_MIN:
        raise ValueError("too short")
    return value


_List = Annotated[frozenset[str] | None, NoDecode, BeforeValidator(_split_list)]
_TenantList = Annotated[_List, AfterValidator(_check_tenant_list)]
_TenantMapping = Annotated[
    Mapping[str, str], NoDecode, BeforeValidator(_parse_mapping), AfterValidator(_check_tenant_mapping)
]
_Port = Annotated[int, Field(ge=0, le=_PORT_MAX)]
_Milliseconds = Annotated[int, Field(ge=1, le=2**31 - 1)]


def _setting(default: object, what: str, *, allowed: str, **limits: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Declare a field: what it is for, and what is allowed in the words of an error message."""
    return Field(default=default, description=what, json_schema_extra={"allowed": allowed}, **limits)


class Settings(BaseSettings):
    """The settings of one installation. Made by `load_settings`, or directly with values in tests."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_check_servers)] = _setting(
        "localhost:9092", "Kafka brokers to begin with", allowed="host:port, several separated by commas"
    )
    data_dir: Path = _setting(
        Path("data"), "Where a worker keeps its RocksDB directories; may be wiped at any time", allowed="a directory"
    )
    system_token: Annotated[SecretStr, AfterValidator(_check_system_token)] | None = _setting(
        None, "The token that HTTP callers present; the bridge needs it", allowed="printable ASCII without spaces"
    )
    clients_file: Path | None = _setting(
        None,
        "TOML file of the clients that may call besides the holder of the system token, and of what each may use; read "
        "again when it changes (docs/security.md)",
        allowed="a file",
    )
    jwt_secret: Annotated[SecretStr, AfterValidator(_check_jwt_secret)] | None = _setting(
        None,
        "The chat plugin's `CHATPLUGIN_JWT_SECRET`; worker and bridge need it",
        allowed="base64 of at least 256 bits (as Airy decodes it: 44 characters or more)",
    )
    jwt_previous_secret: Annotated[SecretStr, AfterValidator(_check_jwt_secret)] | None = _setting(
        None,
        "The JWT secret before its last change, accepted in tokens that are shown and never signed with",
        allowed="base64 of at least 256 bits (as Airy decodes it: 44 characters or more)",
    )
    http_host: str = _setting("127.0.0.1", "Address the bridge listens on", allowed="an address", min_length=1)
    http_port: _Port = _setting(8080, "Port the bridge listens on", allowed="0 (any free one) to 65535")
    worker_host: str = _setting(
        "127.0.0.1", "Address of the worker's health and metrics", allowed="an address", min_length=1
    )
    worker_port: _Port = _setting(8081, "Port of the worker's health and metrics", allowed="0 (any free one) to 65535")
    topic_prefix: str = _setting(
        "",
        "Put before the names of the service's own topics and its app id",
        allowed="up to 100 of a-z A-Z 0-9 . _ -",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
    )
    app_id: str | None = _setting(
        None,
        "Consumer group, transactional ids and changelog names; default is the prefix and `airy-identify`",
        allowed="up to 100 of a-z A-Z 0-9 . _ -",
        pattern=r"^[a-zA-Z0-9._-]{1,100}$",
    )
    partitions: int = _setting(
        8, "Partitions of the service's own topics; frozen once used", allowed="1 to 1000", ge=1, le=1000
    )
    replication_factor: int = _setting(
        1, "Replicas of the service's own topics; 3 or more in production", allowed="1 to 100", ge=1, le=100
    )
    schema_registry_url: str | None = _setting(
        None,
        "Schema registry: its Confluent API, like http://registry:8080/apis/ccompat/v7; user and password may be in it",
        allowed="an http:// or https:// URL",
        pattern=r"^https?://[^\s]+$",
    )
    airy_core_namespace: str = _setting(
        "",
        "Airy's `AIRY_CORE_NAMESPACE`, put before its topic names",
        allowed="up to 100 of a-z A-Z 0-9 . _ -",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
    )
    default_region: Annotated[str, AfterValidator(_check_region)] | None = _setting(
        None, "Region of phone numbers without `+`", allowed="a country as two capital letters, like DE"
    )
    session_timeout_ms: int = _setting(
        10_000,
        "How long a worker may be silent before its partitions move",
        allowed="6000 to 300000 (milliseconds)",
        ge=6000,
        le=300_000,
    )
    group_instance_id: str | None = _setting(
        None,
        "Name of this worker in the group, its own and the same after a restart: a restart within the session timeout "
        "moves no partition. Default is no name: partitions move when a worker stops",
        allowed="up to 100 of a-z A-Z 0-9 . _ -",
        pattern=r"^[a-zA-Z0-9._-]{1,100}$",
    )
    standby_replicas: int = _setting(
        0,
        "How many other workers keep a copy of each table partition up to date, to take over without a restore",
        allowed="0 to 3",
        ge=0,
        le=3,
    )
    request_timeout_ms: _Milliseconds = _setting(
        5000, "How long the bridge waits for an answer before it says 504", allowed="1 or more (milliseconds)"
    )
    pending_requests_max: int = _setting(
        1000, "Requests that the bridge holds at once; beyond, 503", allowed="1 or more", ge=1
    )
    http_requests_per_second_max: Annotated[int, Field(ge=1)] | None = _setting(
        None,
        "Requests for commands that a bridge takes in a second; beyond, 429. Default is no limit",
        allowed="1 or more",
    )
    channel_tenants: _TenantMapping = _setting(
        {}, "Tenant of each channel; those not named belong to `default`", allowed='JSON, {"channel id": "tenant"}'
    )
    contacts_in: bool = _setting(
        True,  # noqa: FBT003 - as pydantic's Field
        "Whether Airy's topic `contacts` is read; without it, Airy's contacts and their names are not known here",
        allowed="true or false",
    )
    contacts_tenant: str = _setting(
        "default",
        "Tenant that Airy's contacts belong to; the topic itself names none",
        allowed="up to 64 of a-z 0-9 _ -",
        pattern=r"^[a-z0-9_-]{1,64}$",
    )
    contacts_out: bool = _setting(
        False,  # noqa: FBT003 - a default
        "Whether contacts of that tenant are written to Airy's topic `contacts`: read docs/contacts-out.md first. Needs "
        "the schema registry, and the topic must be read",
        allowed="true or false",
    )
    requests_tenants: _TenantList = _setting(
        frozenset({"default"}),
        "Tenants that records on `identify-requests` may act for",
        allowed="tenants separated by commas, or * for all",
    )
    requests_channels: _List = _setting(
        None,
        "Channels that records on `identify-requests` may name; default is all",
        allowed="channel ids separated by commas, or * for all",
    )
    reply_topics: Annotated[frozenset[str], NoDecode, BeforeValidator(_split_list)] | None = _setting(
        None,
        "Topics that records on `identify-requests` may have answers sent to; default is `identify-responses`",
        allowed="topics separated by commas",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", "What is logged", allowed="DEBUG, INFO, WARNING or ERROR"
    )
    log_format: Literal["json", "console"] = _setting(
        "json", "How a log line is written, to standard error", allowed="json or console"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the values given and nothing else: which environment is read is the caller's decision."""
        return (init_settings,)

    @property
    def topic_names(self) -> TopicNames:
        """The names of all topics of this installation."""
        return TopicNames(
            prefix=self.topic_prefix,
            app_id=self.app_id or f"{self.topic_prefix}airy-identify",
            airy_namespace=self.airy_core_namespace,
        )

    @property
    def allowed_reply_topics(self) -> frozenset[str]:
        """The topics that a record may name as its reply topic."""
        return frozenset({self.topic_names.responses}) if self.reply_topics is None else self.reply_topics

    @property
    def production(self) -> bool:
        """Whether losing one broker must lose nothing: three replicas or more, of which two must be in sync."""
        return self.replication_factor >= 3  # noqa: PLR2004 - design: in production replication >= 3

    @property
    def jwt_secret_bytes(self) -> bytes:
        """The decoded JWT secret. Raises LookupError when it is unset, which `WORKER_REQUIRES` rules out."""
        if self.jwt_secret is None:
            raise LookupError(variable("jwt_secret"))
        return decode_secret(self.jwt_secret.get_secret_value())

    @property
    def accepted_jwt_secrets(self) -> tuple[bytes, ...]:
        """The decoded secrets that a token may be signed with which somebody shows: today's first."""
        given = (self.jwt_secret, self.jwt_previous_secret)
        return tuple(decode_secret(secret.get_secret_value()) for secret in given if secret is not None)


class _GivenEnvironment(EnvSettingsSource):
    """pydantic-settings' reader of environment variables, for an environment that is given and not the process's."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(Settings)
        self.env_vars = {name.lower(): value for name, value in environment.items() if value}


def load_settings(environment: Mapping[str, str], *, required: Iterable[str] = ()) -> Settings:
    """Read the settings from an environment; an empty variable counts as unset.

    Args:
        environment: Names and values, as `os.environ`.
        required: Fields that may not be unset, such as `BRIDGE_REQUIRES`.

    Raises:
        SettingsError: With everything that is wrong: unknown names, wrong values, what is required and unset.
    """
    problems = _unknown_names(environment)
    problems += [
        f"{variable(field)} is not set: it must be {_allowed(field)}"
        for field in required
        if not environment.get(variable(field))
    ]
    try:
        settings = Settings(**_GivenEnvironment(environment)())
    except ValidationError as error:
        fields = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors(include_url=False))
        raise SettingsError([*problems, *(_wrong_value(environment, field) for field in fields)]) from None
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def _contradictions(settings: Settings) -> list[str]:
    """Say which settings do not go together."""
    if not settings.contacts_out:
        return []
    out = f"{variable('contacts_out')} is true"
    problems = []
    if settings.schema_registry_url is None:
        problems.append(f"{variable('schema_registry_url')} is not set, but {out}: Airy reads no rows without schemas")
    if not settings.contacts_in:
        problems.append(f"{variable('contacts_in')} is false, but {out}: what Airy does with the rows has to be seen")
    return problems


def to_environment(values: Mapping[str, object]) -> dict[str, str]:
    """Return environment variables that `load_settings` reads back as these values. Null means unset."""
    return {variable(field): str(value) for field, value in values.items() if value is not None}


def _unknown_names(environment: Mapping[str, str]) -> list[str]:
    known = [variable(field) for field in Settings.model_fields]
    problems = []
    for name in sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
        nearest = difflib.get_close_matches(name, known, n=1)
        problems.append(f"{name} is unknown" + (f": did you mean {nearest[0]}?" if nearest else ""))
    return problems


def _allowed(field: str) -> str:
    extra = Settings.model_fields[field].json_schema_extra
    return str(extra["allowed"]) if isinstance(extra, dict) else ""


def _wrong_value(environment: Mapping[str, str], field: str) -> str:
    """Say what is allowed, and what was given unless that is a secret."""
    secret = "SecretStr" in str(Settings.model_fields[field].annotation)
    given = environment[variable(field)]
    given = "" if secret or "@" in given else f", not {given!r}"  # an @ may stand behind a password
    return f"{variable(field)} must be {_allowed(field)}{given}"
