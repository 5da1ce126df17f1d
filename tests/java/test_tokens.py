"""Our tokens before Airy's own library, jjwt 0.11.2, and its tokens before ours."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.values import ChannelId, ConversationId
from airy_identify.wire.resume_token import (
    TOKEN_TTL_S,
    ResumeTokenSigner,
    ResumeTokenVerifier,
    VerifiedToken,
    decode_secret,
)
from tests.java_programs import JavaProgram, java_program

SECRETS = {
    "as Airy's chart renders it": "Zk3" * 42 + "aB",
    "Airy's own in its tests": "this-needs-to-be-replaced-in-production-buffer:424242424242424242424242424242",
    "proper base64": base64.b64encode(bytes(range(48))).decode(),
    "with padding in the middle": base64.b64encode(bytes(40)).decode() + "QQ==" + "Q" * 40,
}
SECRET = SECRETS["as Airy's chart renders it"]
OTHER_SECRET = "Qy7" * 42 + "aB"
CONVERSATION, CHANNEL = ConversationId("98ce13ef-5469-4db3-af62-579be61cfaa4"), ChannelId("c-1")


@pytest.fixture(scope="module")
def airy() -> Iterator[JavaProgram]:
    with java_program("tokens", "ReadTokens") as program:
        yield program


def now_s() -> int:
    return int(time.time())


def sign(secret: str = SECRET, *, issued_at_s: int | None = None) -> str:
    signer = ResumeTokenSigner(decode_secret(secret))
    return signer.sign(CONVERSATION, CHANNEL, now_s() if issued_at_s is None else issued_at_s)


def with_claims(token: str, **over: Any) -> str:
    """Return the token with other claims under the signature that it has."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | over
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_airy_reads_our_tokens_with_the_same_secret(airy: JavaProgram, secret: str) -> None:
    issued_at_s = now_s()
    token = sign(secret, issued_at_s=issued_at_s)

    assert airy.ask(secret=secret, token=token) == {
        "key": decode_secret(secret).hex(),
        "header": {"alg": "HS256"},
        "subject": CONVERSATION,
        "issued_at_s": issued_at_s,
        "expires_at_s": issued_at_s + TOKEN_TTL_S,
        "conversation_id": CONVERSATION,
        "channel_id": CHANNEL,
    }


def key_of(secret: str) -> str | None:
    try:
        return decode_secret(secret).hex()
    except ValueError:
        return None


@given(st.text(alphabet="ABwxyz0189+/====-_:. \n\x7f\x80äß", max_size=20) | st.text(max_size=60))
def test_every_secret_is_decoded_as_java_does_and_fails_where_java_fails(airy: JavaProgram, secret: str) -> None:
    assert airy.ask(secret=secret, token="").get("key") == key_of(secret)


def test_airy_refuses_a_changed_secret(airy: JavaProgram) -> None:
    assert airy.ask(secret=OTHER_SECRET, token=sign())["refused"] == "SignatureException"


@pytest.mark.parametrize(
    "changed",
    [
        {"resume_channel_id": "another"},
        {"resume_conversation_id": "another"},
        {"exp": 2_000_000_000},
        {"sub": "another"},
    ],
    ids=["channel", "conversation", "expiry", "subject"],
)
def test_airy_and_we_refuse_changed_claims(airy: JavaProgram, changed: dict[str, Any]) -> None:
    token = with_claims(sign(), **changed)

    assert airy.ask(secret=SECRET, token=token)["refused"] == "SignatureException"
    assert ResumeTokenVerifier([decode_secret(SECRET)]).verify(token, now_s=now_s()) is None


def test_airy_and_we_refuse_what_has_expired(airy: JavaProgram) -> None:
    issued_at_s = now_s() - TOKEN_TTL_S - 1
    token = sign(issued_at_s=issued_at_s)

    assert airy.ask(secret=SECRET, token=token)["refused"] == "ExpiredJwtException"
    assert ResumeTokenVerifier([decode_secret(SECRET)]).verify(token, now_s=now_s()) is None


@pytest.mark.parametrize(("algorithm", "airy_refuses"), [("none", True), ("HS512", False)])
def test_we_refuse_other_algorithms_also_those_that_airy_takes(
    airy: JavaProgram, algorithm: str, *, airy_refuses: bool
) -> None:
    key = "" if algorithm == "none" else decode_secret(SECRET)
    claims = {"sub": "x", "iat": 1, "exp": 4_000_000_000, "resume_conversation_id": "x", "resume_channel_id": "y"}
    token = jwt.encode(claims, key, algorithm=algorithm)

    assert ("refused" in airy.ask(secret=SECRET, token=token)) is airy_refuses
    assert ResumeTokenVerifier([decode_secret(SECRET)]).verify(token, now_s=1_000) is None


@pytest.mark.parametrize("prefix", ["resume_", ""], ids=["resume token", "chat token"])
@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET], ids=["today's secret", "the one before"])
def test_we_read_airys_tokens_of_both_secrets(airy: JavaProgram, prefix: str, secret: str) -> None:
    expires_at_s = now_s() + 3600
    claims = {f"{prefix}conversation_id": CONVERSATION, f"{prefix}channel_id": CHANNEL}
    made = airy.ask(secret=secret, claims=claims, subject=CONVERSATION, issued_at_s=now_s(), expires_at_s=expires_at_s)
    both = ResumeTokenVerifier([decode_secret(SECRET), decode_secret(OTHER_SECRET)])
    expected = VerifiedToken(conversation_id=CONVERSATION, channel_id=CHANNEL, expires_at_s=expires_at_s)

    assert both.verify(made["token"], now_s=now_s()) == expected
    assert both.verify(made["token"], now_s=expires_at_s) is None
    third = ResumeTokenVerifier([bytes(32)])
    assert third.verify(made["token"], now_s=now_s()) is None
