import base64
import hashlib
import hmac
import json
import string

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.values import ChannelId, ConversationId
from airy_identify.wire.resume_token import SECRET_BYTES_MIN, ResumeTokenSigner, decode_secret

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
        ("QUJDü", "414243"),
        ("++//", "fbefff"),
        ("QQ==QUJD", "41414243"),
        # Padding where none belongs counts as 127 in the bits around it.
        ("QU=D", "41c3"),
        ("====", "ff"),
        ("QUJ", ""),
        ("=", ""),
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


@given(st.text())
def test_any_text_gives_some_key(text: str) -> None:
    assert len(decode_secret(text)) <= len(text) // 4 * 3


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
