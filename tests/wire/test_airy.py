import json
from io import BytesIO
from typing import Any

import avro.io
import avro.schema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.values import Message
from airy_identify.wire import airy, schemas
from airy_identify.wire.errors import UndecodableError
from tests import builders as make
from tests.wire.strategies import TIME_MS

IDENTIFIERS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
CONFLUENT = b"\x00\x00\x00\x00\x07"
SINGLE_OBJECT_BYTES = 10


def confluent(data: bytes) -> bytes:
    """Return single-object bytes in the Confluent wire format, as Airy writes them."""
    return CONFLUENT + data[SINGLE_OBJECT_BYTES:]


def message_bytes(**over: Any) -> bytes:
    datum = schemas.decode(airy.encode_message(make.make_message()))[1]
    return schemas.encode(airy.MESSAGE, datum | over)


@given(
    st.builds(
        Message,
        id=IDENTIFIERS,
        conversation_id=IDENTIFIERS,
        channel_id=IDENTIFIERS,
        source=IDENTIFIERS,
        sender_id=st.text(max_size=10),
        is_from_contact=st.booleans(),
        delivery_state=st.sampled_from(["PENDING", "FAILED", "DELIVERED"]),
        content=st.text(max_size=50),
        sent_at_ms=TIME_MS,
        updated_at_ms=st.none() | TIME_MS,
    )
)
def test_messages_come_back_as_they_were_in_both_encodings(message: Message) -> None:
    data = airy.encode_message(message)
    assert airy.decode_message(data) == message
    assert airy.decode_message(confluent(data)) == message


@pytest.mark.parametrize("connected", [True, False])
def test_channels_come_back_as_they_were_in_both_encodings(*, connected: bool) -> None:
    channel = make.make_channel(connected=connected, source="facebook", source_channel_id="")
    data = airy.encode_channel(channel)
    assert airy.decode_channel(data) == channel
    assert airy.decode_channel(confluent(data)) == channel


def test_members_that_we_do_not_need_are_read_over() -> None:
    data = message_bytes(headers={"a": "b", "c": "d"}, sourceRecipientId="r")
    assert airy.decode_message(data) == make.make_message()
    assert airy.decode_message(confluent(data)) == make.make_message()


def test_what_apache_avro_writes_with_java_string_attributes_is_read() -> None:
    path = schemas.schema_directory() / "AiryChannel.avsc"
    definition = json.loads(path.read_text(encoding="utf-8"))
    for field in definition["fields"][:3]:
        field["type"] = {"type": "string", "avro.java.string": "String"}
    parsed = avro.schema.parse(json.dumps(definition))
    body = BytesIO()
    datum = {
        "id": "c-1",
        "source": "chatplugin",
        "sourceChannelId": "x",
        "token": "secret",
        "connectionState": "CONNECTED",
    }
    avro.io.DatumWriter(parsed).write(datum, avro.io.BinaryEncoder(body))
    expected = make.make_channel(id="c-1", source_channel_id="x")
    assert airy.decode_channel(CONFLUENT + body.getvalue()) == expected
    assert airy.decode_channel(b"\xc3\x01" + schemas.fingerprint_of(definition) + body.getvalue()) == expected


@pytest.mark.parametrize("field", ["id", "conversationId", "channelId", "source"])
@pytest.mark.parametrize("value", ["", "a\x1fb", "a\n", "x" * 256])
def test_a_message_without_usable_ids_is_undecodable(field: str, value: str) -> None:
    with pytest.raises(UndecodableError, match=field):
        airy.decode_message(message_bytes(**{field: value}))


def test_an_id_may_have_255_characters() -> None:
    assert airy.decode_message(message_bytes(id="x" * 255)).id == "x" * 255


@pytest.mark.parametrize("field", ["sentAt", "updatedAt"])
@pytest.mark.parametrize("time_ms", [-1, 253_402_300_800_000, 2**63 - 1, -(2**63)])
def test_a_message_with_a_time_that_cannot_be_written_is_undecodable(field: str, time_ms: int) -> None:
    with pytest.raises(UndecodableError, match="time"):
        airy.decode_message(message_bytes(**{field: time_ms}))


@pytest.mark.parametrize("field", ["id", "source"])
def test_a_channel_without_usable_ids_is_undecodable(field: str) -> None:
    with pytest.raises(UndecodableError, match=field):
        airy.decode_channel(airy.encode_channel(make.make_channel(**{field: ""})))


def test_another_record_is_undecodable() -> None:
    with pytest.raises(UndecodableError):
        airy.decode_message(airy.encode_channel(make.make_channel()))
    with pytest.raises(UndecodableError):
        airy.decode_message(confluent(airy.encode_channel(make.make_channel())))


@pytest.mark.parametrize("data", [b"", b"\x00", CONFLUENT[:4], CONFLUENT, b"{}", b"\x08abc"])
def test_bytes_that_are_no_record_are_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        airy.decode_message(data)
    with pytest.raises(UndecodableError):
        airy.decode_channel(data)


def test_confluent_bytes_must_be_used_up() -> None:
    data = confluent(airy.encode_message(make.make_message()))
    for spoilt in (data + b"\x00", data[:-1]):
        with pytest.raises(UndecodableError):
            airy.decode_message(spoilt)


@given(st.binary(max_size=80))
def test_garbage_never_raises_anything_else(garbage: bytes) -> None:
    for decode in (airy.decode_message, airy.decode_channel):
        for data in (garbage, CONFLUENT + garbage):
            try:
                decode(data)
            except UndecodableError:
                continue
