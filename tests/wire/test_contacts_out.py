from airy_identify.core.contacts_out import AiryWrite
from airy_identify.core.values import ContactId
from airy_identify.wire import schemas
from airy_identify.wire.airy import METADATA
from airy_identify.wire.contacts_out import encode_write
from airy_identify.wire.headers import OURS, is_own_row

ADA = ContactId("e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff")
WRITE = AiryWrite(contact_id=ADA, key="displayName", value="Grüße", timestamp_ms=1_700_000_000_123)


def test_a_value_is_airys_record_in_confluents_framing() -> None:
    key, value, headers = encode_write(WRITE, 258)
    assert value is not None
    assert key == WRITE.record_key.encode()
    assert value[:5] == bytes.fromhex("0000000102")
    assert schemas.our_schemas().decode_body(METADATA, value, 5) == {
        "subject": f"contact:{ADA}",
        "key": "displayName",
        "value": "Grüße",
        "valueType": "text",
        "timestamp": 1_700_000_000_123,
    }
    assert headers == ((OURS, b"1"),)


def test_the_same_row_is_the_same_bytes() -> None:
    assert encode_write(WRITE, 7) == encode_write(WRITE, 7)


def test_a_tombstone_has_the_same_key_and_no_value() -> None:
    gone = AiryWrite(contact_id=ADA, key="displayName", value=None, timestamp_ms=5)
    assert encode_write(gone, 7) == (WRITE.record_key.encode(), None, ((OURS, b"1"),))


def test_what_is_only_passed_on_is_not_marked_as_ours() -> None:
    passed_on = AiryWrite(contact_id=ADA, key="title", value="Dr.", timestamp_ms=5, own=False)
    assert encode_write(passed_on, 7)[2] == ()


def test_our_records_are_told_by_their_header() -> None:
    assert is_own_row(((OURS, b"1"),))
    assert not is_own_row(())
    assert not is_own_row((("airy_identify_topic", b"1"),))
