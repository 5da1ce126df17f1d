"""Every refusal that both doors can give, once: the request that brings it about, its code, and the field it names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airy_identify.core.reasons import Reason

PATHS = {
    "identify": "/contacts.identify",
    "info": "/identities.info",
    "merge": "/identities.merge",
    "unmerge": "/identities.unmerge",
    "release": "/identities.release",
    "forget": "/identities.forget",
    "resume_token": "/conversations.resumeToken",
}
RECORDS = {
    "identify": "airy_identify.IdentifyRequest",
    "info": "airy_identify.InfoRequest",
    "merge": "airy_identify.MergeRequest",
    "unmerge": "airy_identify.UnmergeRequest",
    "release": "airy_identify.ReleaseRequest",
    "forget": "airy_identify.ForgetRequest",
    "resume_token": "airy_identify.ResumeTokenRequest",
}


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is when the requests are made.

    `contact` has the external id and the e-mail address of these names, no merges, and a conversation on `channel`;
    `large` and `also_large` have too much metadata to become one.
    """

    channel: str
    disconnected_channel: str
    facebook_channel: str
    contact: str
    external_id: str
    email: str
    large: str
    also_large: str


Body = Callable[[World], dict[str, Any]]


@dataclass(frozen=True)
class Refusal:
    """A request that is refused. `in_avro`: whether its schema can hold the request at all."""

    name: str
    code: Reason
    field: str | None
    command: str
    body: Body
    in_avro: bool = True


def _identify(name: str, code: Reason, field: str | None, *, in_avro: bool = True, **over: Any) -> Refusal:
    def body(world: World) -> dict[str, Any]:
        return {"channel_id": world.channel, "external_id": "u-1"} | over

    return Refusal(name, code, field, "identify", body, in_avro)


INVALID, MISSING = Reason.INVALID_FIELD, Reason.MISSING_FIELD
LONG = "x" * 256
DEEP: Any = {}
for _ in range(8):
    DEEP = {"deeper": DEEP}

REFUSALS = (
    _identify("channel_id of another type", INVALID, "channel_id", channel_id=7, in_avro=False),
    _identify("channel_id absent", MISSING, "channel_id", channel_id=None),
    _identify("channel_id blank", MISSING, "channel_id", channel_id=" "),
    _identify("external_id of another type", INVALID, "external_id", external_id=7, in_avro=False),
    _identify("external_id too long", INVALID, "external_id", external_id=LONG),
    _identify("external_id with a control character", INVALID, "external_id", external_id="a\u0000b"),
    _identify("external_id blocked", Reason.BLOCKED_IDENTIFIER, "external_id", external_id="'Undefined'"),
    _identify("email of another type", INVALID, "email", email=["a@b.cd"], in_avro=False),
    _identify("email without a domain", Reason.INVALID_EMAIL, "email", email="nobody"),
    _identify("phone_number of another type", INVALID, "phone_number", phone_number=491701234567, in_avro=False),
    _identify("phone_number too short", Reason.INVALID_PHONE_NUMBER, "phone_number", phone_number="+4912"),
    _identify("identifiers no object", INVALID, "identifiers", identifiers=["a"], in_avro=False),
    _identify("a kind of another type", INVALID, "identifiers.device", identifiers={"device": 7}, in_avro=False),
    _identify("a built-in kind", INVALID, "identifiers.email", identifiers={"email": "a@b.cd"}),
    _identify("no name of a kind", INVALID, "identifiers.Device", identifiers={"Device": "a"}),
    _identify("six values", INVALID, "identifiers.device", identifiers={"device": list("abcdef")}),
    _identify("nine kinds", INVALID, "identifiers", identifiers={f"kind_{letter}": "a" for letter in "abcdefghi"}),
    _identify("a blocked value", Reason.BLOCKED_IDENTIFIER, "identifiers.device", identifiers={"device": ["a", "0"]}),
    _identify("metadata no object", Reason.INVALID_METADATA, "metadata", metadata=[1]),
    _identify("metadata too large", Reason.INVALID_METADATA, "metadata", metadata={"a": "x" * 16_384}),
    _identify("metadata too deep", Reason.INVALID_METADATA, "metadata", metadata=DEEP),
    _identify("unverified external_id", INVALID, "unverified", unverified=["external_id"]),
    _identify("attach no text", INVALID, "attach", attach=7, in_avro=False),
    _identify("on_conflict unknown", INVALID, "on_conflict", on_conflict="shrug", in_avro=False),
    _identify("dry_run no boolean", INVALID, "dry_run", dry_run="yes", in_avro=False),
    _identify("explain no boolean", INVALID, "explain", explain=1, in_avro=False),
    _identify("tenant in capitals", INVALID, "tenant", tenant="Acme"),
    _identify("no identifier", Reason.MISSING_IDENTIFIER, None, external_id=None),
    _identify(
        "nothing verified", Reason.MISSING_IDENTIFIER, None, external_id=" ", email="a@b.cd", unverified=["email"]
    ),
    _identify("no such channel", Reason.UNKNOWN_CHANNEL, "channel_id", channel_id="nobody knows it"),
    Refusal(
        "a disconnected channel",
        Reason.UNKNOWN_CHANNEL,
        "channel_id",
        "identify",
        lambda world: {"channel_id": world.disconnected_channel, "external_id": "u-1"},
    ),
    Refusal(
        "a channel of another source",
        Reason.UNSUPPORTED_CHANNEL,
        "channel_id",
        "identify",
        lambda world: {"channel_id": world.facebook_channel, "external_id": "u-1"},
    ),
    Refusal(
        "an e-mail address of somebody else",
        Reason.IDENTIFIER_CONFLICT,
        "email",
        "identify",
        lambda world: {
            "channel_id": world.channel,
            "external_id": "somebody else",
            "email": world.email,
            "on_conflict": "reject",
        },
    ),
    Refusal("merge without a source", MISSING, "source_id", "merge", lambda world: {"destination_id": world.contact}),
    Refusal("merge without a destination", MISSING, "destination_id", "merge", lambda _: {"source_id": "a"}),
    Refusal(
        "merge of nobody",
        Reason.UNKNOWN_CONTACT,
        "source_id",
        "merge",
        lambda world: {"source_id": "nobody", "destination_id": world.contact},
    ),
    Refusal(
        "merge into nobody",
        Reason.UNKNOWN_CONTACT,
        "destination_id",
        "merge",
        lambda world: {"source_id": world.contact, "destination_id": "nobody"},
    ),
    Refusal(
        "merge of too much",
        Reason.TOO_LARGE_TO_MERGE,
        None,
        "merge",
        lambda world: {"source_id": world.large, "destination_id": world.also_large},
    ),
    Refusal("unmerge without a contact", MISSING, "contact_id", "unmerge", lambda _: {}),
    Refusal("unmerge of nobody", Reason.UNKNOWN_CONTACT, "contact_id", "unmerge", lambda _: {"contact_id": "nobody"}),
    Refusal(
        "unmerge of what never merged",
        Reason.NOT_LATEST_MERGE,
        "contact_id",
        "unmerge",
        lambda world: {"contact_id": world.contact},
    ),
    Refusal(
        "release without a kind", MISSING, "kind", "release", lambda world: {"contact_id": world.contact, "value": "v"}
    ),
    Refusal(
        "release without a value", MISSING, "value", "release", lambda _: {"contact_id": "a", "kind": "external_id"}
    ),
    Refusal(
        "release of no kind",
        INVALID,
        "kind",
        "release",
        lambda _: {"contact_id": "a", "kind": "Device", "value": "v"},
    ),
    Refusal(
        "release of no e-mail address",
        Reason.INVALID_EMAIL,
        "value",
        "release",
        lambda _: {"contact_id": "a", "kind": "email", "value": "v"},
    ),
    Refusal(
        "release from nobody",
        Reason.UNKNOWN_CONTACT,
        "contact_id",
        "release",
        lambda _: {"contact_id": "nobody", "kind": "external_id", "value": "v"},
    ),
    Refusal("forget without a contact", MISSING, "contact_id", "forget", lambda _: {}),
    Refusal("forget too long", INVALID, "contact_id", "forget", lambda _: {"contact_id": LONG}),
    Refusal("forget of nobody", Reason.UNKNOWN_CONTACT, "contact_id", "forget", lambda _: {"contact_id": "nobody"}),
    Refusal("info about nothing", INVALID, "contact_id", "info", lambda _: {}),
    Refusal(
        "info by two selectors",
        INVALID,
        "email",
        "info",
        lambda world: {"external_id": world.external_id, "email": world.email},
    ),
    Refusal(
        "info about nobody", Reason.UNKNOWN_CONTACT, "external_id", "info", lambda _: {"external_id": "nobody at all"}
    ),
    Refusal(
        "a token without a conversation",
        MISSING,
        "conversation_id",
        "resume_token",
        lambda world: {"channel_id": world.channel},
    ),
    Refusal(
        "a token without a channel", MISSING, "channel_id", "resume_token", lambda _: {"conversation_id": "nobody's"}
    ),
    Refusal(
        "a token for a disconnected channel",
        Reason.UNKNOWN_CHANNEL,
        "channel_id",
        "resume_token",
        lambda world: {"channel_id": world.disconnected_channel, "conversation_id": "nobody's"},
    ),
    Refusal(
        "a token for nobody's conversation",
        Reason.UNKNOWN_CONVERSATION,
        "conversation_id",
        "resume_token",
        lambda world: {"channel_id": world.channel, "conversation_id": "nobody's"},
    ),
)

ONLY_ONE_DOOR = frozenset(
    {
        Reason.MALFORMED_JSON,  # the bytes differ, and over Kafka they are dead letters too
        Reason.FORBIDDEN,  # the system token may do everything
        Reason.UNAUTHORIZED,
        Reason.NOT_FOUND,
        Reason.METHOD_NOT_ALLOWED,
        Reason.BODY_TOO_LARGE,
        Reason.UNSUPPORTED_MEDIA_TYPE,
        Reason.RATE_LIMITED,
        Reason.UNAVAILABLE,
        Reason.TIMEOUT,
    }
)
"""Codes of one door, or that come about in different ways; other tests bring them about."""
