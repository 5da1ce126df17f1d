import base64
import hashlib
import hmac
import json
import string
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.values import ChannelId, ConversationId
from airy_identify.wire.resume_token import (
    SECRET_BYTES_MIN,
    ResumeTokenSigner,
    ResumeTokenVerifier,
    VerifiedToken,
    decode_secret,
)

AIRYS_TEST_SECRET = "this-needs-to-be-replaced-in-production-buffer:424242424242424242424242424242"
ISSUED_AT_S = 1_700_000_000


def make_token(secret: bytes = b"k" * 32) -> str:
    return ResumeTokenSigner(secret).sign(ConversationId("c-1"), ChannelId("ch-1"), ISSUED_AT_S)


def part(token: str, index: int) -> bytes:
    text = token.split(".")[index]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_airys_test_secret_gives_airys_key() -> None:
    key = decode_secret(AIRYS_TEST_SECRET)
    assert len(key) == 51
    assert key.hex().startswith("b618ac9de79db2da")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", ""),
        ("QQ==", "41"),
        ("QUI=", "4142"),
        ("QUJD", "414243"),
        ("QUJDR", "414243"),
        ("QUJDRE", "414243"),
        ("Q-U:J_D\n", "414243"),
        ("Q U J D", "414243"),
        ("++//", "fbefff"),
        ("QQ==QUJD", "41414243"),
        # Padding where none belongs counts as 127 in the bits around it.
        ("QU=D", "41c3"),
        ("QUJD:=", "414243"),
        ("QUJDQ===", "41424347"),
        ("====", "ff"),
        ("QUJ", ""),
    ],
)
def test_secrets_are_decoded_as_leniently_as_java_does(text: str, key: str) -> None:
    assert decode_secret(text).hex() == key


@given(st.binary(max_size=100))
def test_proper_base64_is_decoded_properly(key: bytes) -> None:
    assert decode_secret(base64.b64encode(key).decode()) == key


@given(st.text(alphabet=string.ascii_letters + string.digits, max_size=200))
def test_letters_and_digits_are_filtered_cut_and_decoded(text: str) -> None:
    assert decode_secret(text) == base64.b64decode(text[: len(text) // 4 * 4])


@pytest.mark.parametrize("text", ["QUJDü", "QUJDQ=", "="])
def test_where_javas_decoder_fails_ours_does(text: str) -> None:
    with pytest.raises(ValueError, match="Java's decoder"):
        decode_secret(text)


def test_what_javas_decoder_makes_room_for_is_no_failure() -> None:
    assert decode_secret("QUJD:::::A=").hex() == "414243"


@given(st.text())
def test_any_other_text_gives_some_key(text: str) -> None:
    try:
        assert len(decode_secret(text)) <= len(text) // 4 * 3
    except ValueError:
        return


def test_header_and_claims_are_airys_in_airys_order() -> None:
    token = make_token()
    assert part(token, 0) == b'{"alg":"HS256"}'
    assert part(token, 1) == (
        b'{"sub":"c-1","iat":1700000000,"resume_conversation_id":"c-1","resume_channel_id":"ch-1","exp":1700604800}'
    )


def test_signature_is_hmac_sha_256_of_the_decoded_secret() -> None:
    secret = decode_secret(AIRYS_TEST_SECRET)
    token = make_token(secret)
    signed = token.rsplit(".", 1)[0].encode()
    assert part(token, 2) == hmac.new(secret, signed, hashlib.sha256).digest()


def test_token_verifies_and_lasts_seven_days() -> None:
    claims = jwt.decode(make_token(), b"k" * 32, algorithms=["HS256"], options={"verify_exp": False})
    assert claims["exp"] - claims["iat"] == 7 * 24 * 60 * 60
    assert isinstance(claims["exp"], int)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(make_token(), b"other" * 8, algorithms=["HS256"])


def test_same_arguments_give_the_same_token() -> None:
    assert make_token() == make_token()
    assert json.loads(part(make_token(), 1))["sub"] == "c-1"


def test_a_secret_under_256_bits_is_refused() -> None:
    assert ResumeTokenSigner(b"k" * SECRET_BYTES_MIN)
    with pytest.raises(ValueError, match="256 bits"):
        ResumeTokenSigner(b"k" * (SECRET_BYTES_MIN - 1))


NOW_S = ISSUED_AT_S + 60
GENUINE: dict[str, object] = {
    "sub": "c-1",
    "iat": ISSUED_AT_S,
    "exp": ISSUED_AT_S + 3600,
    "resume_conversation_id": "c-1",
    "resume_channel_id": "ch-1",
}
FOUND = VerifiedToken(
    conversation_id=ConversationId("c-1"), channel_id=ChannelId("ch-1"), expires_at_s=ISSUED_AT_S + 3600
)


def verify(token: str, *secrets: bytes, now_s: int = NOW_S) -> VerifiedToken | None:
    return ResumeTokenVerifier(secrets or (b"k" * 32,)).verify(token, now_s=now_s)


def signed(secret: bytes = b"k" * 32, without: str | None = None, **over: object) -> str:
    claims = {name: value for name, value in (GENUINE | over).items() if name != without}
    head = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    signature = hmac.new(secret, head + b"." + body, hashlib.sha256).digest()
    return b".".join((head, body, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


def test_a_genuine_token_is_read() -> None:
    assert verify(signed()) == FOUND
    assert verify(make_token()) == VerifiedToken(
        conversation_id=ConversationId("c-1"), channel_id=ChannelId("ch-1"), expires_at_s=ISSUED_AT_S + 604_800
    )


def test_a_chat_token_is_read_too() -> None:
    token = signed(without="resume_conversation_id", resume_channel_id=None, conversation_id="c-1", channel_id="ch-1")
    assert verify(token) == FOUND


def test_two_secrets_are_accepted_and_a_third_is_not() -> None:
    for secret in (b"a" * 32, b"b" * 32):
        assert verify(signed(secret), b"a" * 32, b"b" * 32) == FOUND
    assert verify(signed(b"c" * 32), b"a" * 32, b"b" * 32) is None


@pytest.mark.parametrize(("now_s", "accepted"), [(ISSUED_AT_S + 3599, True), (ISSUED_AT_S + 3600, False)])
def test_it_ends_at_its_second(now_s: int, *, accepted: bool) -> None:
    assert (verify(signed(), now_s=now_s) is not None) is accepted


def test_a_token_from_a_clock_that_is_ahead_is_read_but_not_one_for_later() -> None:
    assert verify(signed(iat=NOW_S + 500)) == FOUND
    assert verify(signed(nbf=NOW_S)) == FOUND
    assert verify(signed(nbf=NOW_S + 1)) is None


@pytest.mark.parametrize(
    "over",
    [
        {"without": "exp"},
        {"exp": str(ISSUED_AT_S + 3600)},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": "0"},
        {"without": "resume_channel_id"},
        {"without": "resume_conversation_id"},
        {"resume_channel_id": ""},
        {"resume_conversation_id": 7},
        {"resume_conversation_id": ["c-1"]},
        {"conversation_id": "c-2", "channel_id": "ch-1"},
    ],
    ids=repr,
)
def test_a_signed_token_that_is_none_of_airys_is_refused(over: dict[str, Any]) -> None:
    assert verify(signed(**over)) is None


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "eyJhbGciOiJIUzI1NiJ9..", "ä.b.c", "\ud800", "x" * 5000])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert verify(token) is None


@given(st.text() | st.lists(st.binary(max_size=30), max_size=4).map(lambda parts: b".".join(parts).decode("latin-1")))
def test_nothing_is_ever_raised(token: str) -> None:
    assert verify(token) is None


@given(st.integers(min_value=0, max_value=10_000), st.sampled_from(string.ascii_letters + string.digits + "-_"))
def test_a_changed_character_is_noticed(position: int, character: str) -> None:
    genuine = signed()
    changed = genuine[: position % len(genuine)] + character + genuine[position % len(genuine) + 1 :]
    last = changed[:-1] == genuine[:-1]  # the last character of base64 has bits that count for nothing
    assert verify(changed) is None or changed == genuine or last


@pytest.mark.parametrize("secrets", [(), (b"k" * 31,), (b"k" * 32, b"")])
def test_a_verifier_needs_proper_secrets(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="256 bits"):
        ResumeTokenVerifier(secrets)
