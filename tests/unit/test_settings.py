import base64

import pytest

from airy_identify.settings import (
    BRIDGE_REQUIRES,
    PREFIX,
    WORKER_REQUIRES,
    Settings,
    SettingsError,
    load_settings,
    to_environment,
    variable,
)
from airy_identify.wire.resume_token import decode_secret

SECRET = base64.b64encode(bytes(range(33))).decode()


def problems_of(environment: dict[str, str], *, required: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings({f"{PREFIX}{name}": value for name, value in environment.items()}, required=required)
    return caught.value.problems


def test_defaults_work_with_the_local_broker() -> None:
    settings = load_settings({})

    assert settings.kafka_bootstrap_servers == "localhost:9092"
    assert (settings.partitions, settings.replication_factor, settings.production) == (8, 1, False)
    assert settings.topic_names.requests == "identify-requests"
    assert settings.topic_names.app_id == "airy-identify"
    assert settings.allowed_reply_topics == {"identify-responses"}
    assert settings.requests_tenants == frozenset({"default"})
    assert settings.requests_channels is None


def test_the_environment_is_read_and_not_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}PARTITIONS", "5")

    assert load_settings({"PATH": "/bin", f"{PREFIX}HTTP_PORT": "0"}).http_port == 0
    assert load_settings({}).partitions == 8


def test_all_errors_are_reported_at_once() -> None:
    problems = problems_of(
        {"PARTITONS": "3", "PARTITIONS": "0", "DEFAULT_REGION": "Germany", "JWT_SECRET": "short"},
        required=BRIDGE_REQUIRES,
    )

    assert [problem.split()[0].removeprefix(PREFIX) for problem in problems] == [
        "PARTITONS",
        "SYSTEM_TOKEN",
        "JWT_SECRET",
        "PARTITIONS",
        "DEFAULT_REGION",
    ]
    assert problems[0].endswith("did you mean AIRY_IDENTIFY_PARTITIONS?")
    assert problems[3] == "AIRY_IDENTIFY_PARTITIONS must be 1 to 1000, not '0'"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:0"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1,,b:2"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:70000"),
        ("HTTP_PORT", "65536"),
        ("HTTP_PORT", "many"),
        ("TOPIC_PREFIX", "a b"),
        ("APP_ID", "x" * 101),
        ("PARTITIONS", "1001"),
        ("REPLICATION_FACTOR", "0"),
        ("SCHEMA_REGISTRY_URL", "registry:8081"),
        ("AIRY_CORE_NAMESPACE", "ä"),
        ("DEFAULT_REGION", "de"),
        ("SESSION_TIMEOUT_MS", "5999"),
        ("REQUEST_TIMEOUT_MS", "0"),
        ("PENDING_REQUESTS_MAX", "0"),
        ("CHANNEL_TENANTS", "[1]"),
        ("CHANNEL_TENANTS", "{"),
        ("CHANNEL_TENANTS", '{"c": "Not a tenant"}'),
        ("CHANNEL_TENANTS", '{"c": 1}'),
        ("REQUESTS_TENANTS", "a,B"),
        ("REQUESTS_TENANTS", "a,,b"),
        ("REQUESTS_TENANTS", "*,a"),
        ("REQUESTS_CHANNELS", ","),
        ("REPLY_TOPICS", "*"),
        ("SYSTEM_TOKEN", "with space"),
        ("SYSTEM_TOKEN", "tökän"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: str) -> None:
    (problem,) = problems_of({name: value})

    assert problem.startswith(f"{PREFIX}{name} must be ")


def test_lists_and_mappings_are_read() -> None:
    settings = load_settings(
        {
            f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": "a.example:9092, [::1]:9093",
            f"{PREFIX}CHANNEL_TENANTS": '{"channel-1": "shop-a"}',
            f"{PREFIX}REQUESTS_TENANTS": "shop-a, shop-b",
            f"{PREFIX}REQUESTS_CHANNELS": "*",
            f"{PREFIX}REPLY_TOPICS": "team-a,team-b",
            f"{PREFIX}DEFAULT_REGION": "DE",
        }
    )

    assert settings.kafka_bootstrap_servers == "a.example:9092,[::1]:9093"
    assert settings.channel_tenants == {"channel-1": "shop-a"}
    assert settings.requests_tenants == frozenset({"shop-a", "shop-b"})
    assert settings.requests_channels is None
    assert settings.allowed_reply_topics == {"team-a", "team-b"}


def test_a_star_opens_the_topic_to_every_tenant() -> None:
    assert load_settings({f"{PREFIX}REQUESTS_TENANTS": "*"}).requests_tenants is None


def test_prefix_and_namespace_are_in_the_topic_names() -> None:
    names = load_settings({f"{PREFIX}TOPIC_PREFIX": "blue-", f"{PREFIX}AIRY_CORE_NAMESPACE": "shop"}).topic_names

    assert names.identity_commands == "blue-identity-commands"
    assert names.changelog("contact-identity") == "blue-airy-identify-contact-identity-changelog"
    assert names.airy_messages == "shop.application.communication.messages"
    assert load_settings({f"{PREFIX}APP_ID": "other"}).topic_names.app_id == "other"


def test_three_replicas_are_production() -> None:
    assert not load_settings({f"{PREFIX}REPLICATION_FACTOR": "2"}).production
    assert load_settings({f"{PREFIX}REPLICATION_FACTOR": "3"}).production


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_settings({f"{PREFIX}PARTITIONS": "", f"{PREFIX}SYSTEM_TOKEN": ""}).partitions == 8
    assert len(problems_of({"SYSTEM_TOKEN": "", "JWT_SECRET": ""}, required=BRIDGE_REQUIRES)) == 2


def test_worker_and_bridge_do_not_start_without_their_secrets() -> None:
    assert [problem.split()[0] for problem in problems_of({}, required=WORKER_REQUIRES)] == [variable("jwt_secret")]
    assert [problem.split()[0] for problem in problems_of({}, required=BRIDGE_REQUIRES)] == [
        variable("system_token"),
        variable("jwt_secret"),
    ]
    assert load_settings({variable("jwt_secret"): SECRET}, required=WORKER_REQUIRES).jwt_secret_bytes == bytes(
        range(33)
    )


@pytest.mark.parametrize(("characters", "accepted"), [(43, False), (44, True), (45, True)])
def test_a_jwt_secret_needs_256_bits_after_airys_decoding(characters: int, accepted: bool) -> None:  # noqa: FBT001
    environment = {variable("jwt_secret"): "A" * characters}

    if accepted:
        assert len(load_settings(environment).jwt_secret_bytes) == 33
    else:
        with pytest.raises(SettingsError):
            load_settings(environment)


def test_without_a_jwt_secret_there_are_no_bytes() -> None:
    with pytest.raises(LookupError, match="JWT_SECRET"):
        _ = load_settings({}).jwt_secret_bytes


def test_secrets_are_never_printed() -> None:
    settings = load_settings({variable("jwt_secret"): SECRET, variable("system_token"): "open-sesame"})
    wrong = problems_of({"JWT_SECRET": "hush", "SYSTEM_TOKEN": "hush hush"})

    assert SECRET not in repr(settings)
    assert "open-sesame" not in repr(settings)
    assert "hush" not in " ".join(wrong)


def test_settings_given_directly_are_checked_too() -> None:
    with pytest.raises(ValueError, match="partitions"):
        Settings(partitions=0)


def test_to_environment_gives_what_load_settings_reads() -> None:
    values = {"http_port": 8181, "system_token": "token", "default_region": None}

    assert load_settings(to_environment(values)) == Settings.model_validate(
        {"http_port": 8181, "system_token": "token"}
    )


def test_tokens_of_two_secrets_can_be_accepted_and_a_wrong_one_is_named() -> None:
    other = "B" * 44
    both = load_settings({variable("jwt_secret"): SECRET, variable("jwt_previous_secret"): other})
    assert both.accepted_jwt_secrets == (both.jwt_secret_bytes, decode_secret(other))
    assert load_settings({variable("jwt_secret"): SECRET}).accepted_jwt_secrets == (both.jwt_secret_bytes,)
    assert [problem.split()[0] for problem in problems_of({"JWT_PREVIOUS_SECRET": "short"})] == [
        variable("jwt_previous_secret")
    ]


def test_a_jwt_secret_on_which_airys_decoder_fails_is_refused() -> None:
    (problem,) = problems_of({"JWT_SECRET": "A" * 45 + "="})
    assert problem.startswith(variable("jwt_secret"))
    assert "AAAA" not in problem


def test_contacts_out_needs_the_registry_and_contacts_in() -> None:
    problems = problems_of({"CONTACTS_OUT": "true", "CONTACTS_IN": "false"})
    assert [problem.partition(":")[0] for problem in problems] == [
        "AIRY_IDENTIFY_SCHEMA_REGISTRY_URL is not set, but AIRY_IDENTIFY_CONTACTS_OUT is true",
        "AIRY_IDENTIFY_CONTACTS_IN is false, but AIRY_IDENTIFY_CONTACTS_OUT is true",
    ]
    environment = {f"{PREFIX}CONTACTS_OUT": "true", f"{PREFIX}SCHEMA_REGISTRY_URL": "http://registry:8080"}
    assert load_settings(environment).contacts_out
    assert not load_settings({}).contacts_out
