import pytest

from airy_identify.intake.channels import ChannelDirectory
from airy_identify.wire.airy import encode_channel
from tests import builders as make

KEY = make.CHANNEL_ID.encode()


def test_a_channel_is_found_by_its_id() -> None:
    directory = make.make_channels()
    assert directory.get(make.CHANNEL_ID) == make.make_channel()
    assert directory.get("other") is None
    assert len(directory) == 1


def test_a_later_record_replaces_the_channel() -> None:
    directory = make.make_channels()
    later = make.make_channel(connected=False)
    directory.apply(KEY, encode_channel(later))
    assert directory.get(make.CHANNEL_ID) == later


def test_a_null_value_deletes_the_channel() -> None:
    directory = make.make_channels()
    directory.apply(KEY, None)
    directory.apply(b"never seen", None)
    assert directory.get(make.CHANNEL_ID) is None
    assert directory.undecodable_total == 0


@pytest.mark.parametrize("value", [b"", b"{}", b"\xc3\x01garbage", encode_channel(make.make_channel(id="another"))])
def test_a_record_that_cannot_be_used_is_counted_and_kept_out(value: bytes) -> None:
    directory = make.make_channels()
    directory.apply(KEY, value)
    assert directory.get(make.CHANNEL_ID) is None
    assert directory.get("another") is None
    assert directory.undecodable_total == 1


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_a_record_without_a_usable_key_is_counted_and_kept_out(key: bytes | None) -> None:
    directory = ChannelDirectory()
    directory.apply(key, encode_channel(make.make_channel()))
    assert len(directory) == 0
    assert directory.undecodable_total == 1


def test_a_second_reading_replaces_the_first() -> None:
    directory = make.make_channels()
    other = make.make_channel(id="another")
    directory.replace(make.make_channels(other))
    assert directory.get("another") == other
    assert directory.get(make.CHANNEL_ID) is None
