"""What intake makes of the token of a request: the conversation, if it is genuine, of this channel and not expired."""

import json
from typing import Any

import jwt
import pytest

from airy_identify.core.commands import Attach
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import ConversationId
from airy_identify.intake.policy import IntakePolicy
from airy_identify.intake.tokens import token_of
from airy_identify.wire.commands import encode_command
from airy_identify.wire.resume_token import TOKEN_TTL_S, ResumeTokenSigner, ResumeTokenVerifier
from tests import builders as make
from tests.unit.intake.test_accept import accepted, refused, request

SECRET, PREVIOUS, FOREIGN = b"s" * 32, b"p" * 32, b"f" * 32
POLICY = IntakePolicy(tokens=ResumeTokenVerifier([SECRET, PREVIOUS]))
CHAT = ConversationId("11111111-1111-4111-8111-111111111111")
NOW_S = make.ACCEPTED_AT_MS // 1000
NONE = Attach(conversation_id=None)
COUNTS = Attach(conversation_id=CHAT)


def resume_token(*, secret: bytes = SECRET, algorithm: str = "HS256", prefix: str = "resume_", **over: Any) -> str:
    """Return a token; claims given as null are left out."""
    claims = {
        "sub": CHAT,
        "iat": NOW_S - 10,
        f"{prefix}conversation_id": CHAT,
        f"{prefix}channel_id": make.CHANNEL_ID,
        "exp": NOW_S + 3600,
    } | over
    given = {name: value for name, value in claims.items() if value is not None}
    key: Any = None if algorithm == "none" else secret
    return jwt.encode(given, key, algorithm=algorithm)


def attach_of(token: Any, policy: IntakePolicy = POLICY) -> Attach | None:
    return accepted(request(attach=token), policy=policy).attach


@pytest.mark.parametrize("prefix", ["resume_", ""], ids=["resume token", "chat token"])
def test_a_resume_token_and_a_chat_token_count(prefix: str) -> None:
    assert attach_of(resume_token(prefix=prefix)) == COUNTS


def test_a_token_of_ours_counts() -> None:
    assert attach_of(ResumeTokenSigner(SECRET).sign(CHAT, make.CHANNEL_ID, NOW_S)) == COUNTS


def test_a_token_of_the_former_secret_counts_while_secrets_change() -> None:
    assert attach_of(resume_token(secret=PREVIOUS)) == COUNTS


@pytest.mark.parametrize(
    "token",
    [
        "not a token",
        "x" * 10_000,
        "ä.ö.ü",
        resume_token(secret=FOREIGN),
        resume_token(algorithm="none"),
        resume_token(secret=SECRET * 2, algorithm="HS512"),
        resume_token(secret=SECRET * 2, algorithm="HS384"),
        resume_token(exp=NOW_S),
        resume_token(exp=None),
        resume_token(nbf=NOW_S + 1),
        resume_token(resume_channel_id=make.OTHER_CHANNEL_ID),
        resume_token(resume_channel_id=None),
        resume_token(resume_conversation_id=None),
        resume_token(resume_conversation_id=7),
        resume_token(conversation_id=CHAT, channel_id=make.CHANNEL_ID),
        resume_token(resume_conversation_id="a\x1fb"),
        resume_token(resume_conversation_id="a\ud800"),
        resume_token(resume_conversation_id="x" * 256),
    ],
    ids=[
        "no token",
        "long",
        "not ASCII",
        "foreign secret",
        "alg none",
        "HS512",
        "HS384",
        "expired this second",
        "no expiry",
        "not yet",
        "another channel",
        "no channel",
        "no conversation",
        "a number",
        "both kinds at once",
        "a control character",
        "half a character",
        "too long an id",
    ],
)
def test_no_other_counts_and_the_login_goes_on(token: str) -> None:
    assert attach_of(token) == NONE


def test_the_time_that_counts_is_when_the_request_was_accepted() -> None:
    issued_at_s = NOW_S - TOKEN_TTL_S
    signer = ResumeTokenSigner(SECRET)
    assert attach_of(signer.sign(CHAT, make.CHANNEL_ID, issued_at_s + 1)) == COUNTS
    assert attach_of(signer.sign(CHAT, make.CHANNEL_ID, issued_at_s)) == NONE


def test_without_a_secret_none_counts() -> None:
    assert attach_of(resume_token(), IntakePolicy()) == NONE


@pytest.mark.parametrize("absent", [None, "", "  "])
def test_an_absent_token_is_none(absent: str | None) -> None:
    assert accepted(request(attach=absent)).attach is None


@pytest.mark.parametrize("value", [7, True, ["token"], {"token": "x"}])
def test_what_is_no_text_is_refused(value: Any) -> None:
    assert refused(request(attach=value)) == ("invalid_field", "attach")


def test_its_place_among_the_fields_is_between_unverified_and_on_conflict() -> None:
    assert refused(request(unverified=7, attach=7)) == ("invalid_field", "unverified")
    assert refused(request(attach=7, on_conflict=7)) == ("invalid_field", "attach")


def test_the_token_is_in_no_bytes_of_the_log_and_never_prints() -> None:
    token = resume_token()
    command = accepted(request(attach=token), policy=POLICY)
    assert token.encode() not in encode_command(command)
    assert token.rpartition(".")[2].encode() not in encode_command(command)
    assert token not in json.dumps(repr(command))
    read = token_of(token)
    assert not isinstance(read, Rejected)
    assert token not in repr(read)
