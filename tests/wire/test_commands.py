import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given

from airy_identify.core.answers import ConversationCommand
from airy_identify.core.commands import Command, Identify, Observation
from airy_identify.core.values import ConversationRow, IdentityRow, Message
from airy_identify.wire import rows, schemas
from airy_identify.wire.commands import IDENTIFY_COMMAND, decode_command, decode_log_value, encode_command
from airy_identify.wire.conversation_commands import (
    RESUME_SLIP,
    decode_conversation_command,
    encode_conversation_command,
)
from airy_identify.wire.errors import UndecodableError
from tests import builders as make
from tests.wire.strategies import (
    COMMANDS,
    CONVERSATION_COMMANDS,
    CONVERSATION_ROWS,
    IDENTIFY_COMMANDS,
    IDENTITY_ROWS,
    OBSERVATIONS,
)

OWNER = rows.encode_identity_row(make.make_owner("k-1"))


def spoil(record: str, data: bytes, **over: Any) -> bytes:
    """Return the record with other field values: what a later version or another program might have written."""
    return schemas.encode(record, schemas.decode(data)[1] | over)


@given(COMMANDS)
def test_commands_come_back_as_they_were(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@given(OBSERVATIONS)
def test_what_airy_told_comes_back_as_it_was_and_is_no_command(observed: Observation) -> None:
    data = encode_command(observed)
    assert decode_log_value(data) == observed
    with pytest.raises(UndecodableError, match="where a command belongs"):
        decode_command(data)


@given(COMMANDS)
def test_commands_are_values_of_the_log(command: Command) -> None:
    assert decode_log_value(encode_command(command)) == command


@given(OBSERVATIONS)
def test_members_of_what_airy_told_have_their_own_names(observed: Observation) -> None:
    assert_named_alike(observed, schemas.decode(encode_command(observed))[1])


@given(CONVERSATION_COMMANDS)
def test_conversation_commands_come_back_as_they_were(command: ConversationCommand) -> None:
    assert decode_conversation_command(encode_conversation_command(command)) == command


@given(IDENTIFY_COMMANDS)
def test_bytes_do_not_depend_on_the_order_of_metadata(command: Identify) -> None:
    metadata = None if command.metadata is None else dict(reversed(list(command.metadata.items())))
    assert encode_command(dataclasses.replace(command, metadata=metadata)) == encode_command(command)


def assert_named_alike(value: Any, datum: Any) -> None:
    """Check a datum against the value it was made of: members by name, so that no two can have been exchanged."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        left_out = {"tenant"} if isinstance(value, Message) and value.tenant is None else set()
        assert set(datum) | left_out == {field.name for field in dataclasses.fields(value)}
        for name, member in datum.items():
            if name == "metadata" and member is not None:
                assert json.loads(member) == getattr(value, name)
            else:
                assert_named_alike(getattr(value, name), member)
    elif isinstance(value, tuple):
        assert len(value) == len(datum)
        for item, item_datum in zip(value, datum, strict=True):
            assert_named_alike(item, item_datum)
    else:
        assert value == datum


@given(COMMANDS)
def test_members_of_commands_have_their_own_names(command: Command) -> None:
    assert_named_alike(command, schemas.decode(encode_command(command))[1])


@given(CONVERSATION_COMMANDS)
def test_members_of_conversation_commands_have_their_own_names(command: ConversationCommand) -> None:
    assert_named_alike(command, schemas.decode(encode_conversation_command(command))[1])


@given(IDENTITY_ROWS)
def test_members_of_identity_rows_have_their_own_names(row: IdentityRow) -> None:
    assert_named_alike(row, schemas.decode(rows.encode_identity_row(row))[1])


@given(CONVERSATION_ROWS)
def test_members_of_conversation_rows_have_their_own_names(row: ConversationRow) -> None:
    assert_named_alike(row, schemas.decode(rows.encode_conversation_row(row))[1])


def test_metadata_is_canonical_text() -> None:
    command = make.make_identify_command(metadata={"b": "ü", "a": {"d": 1, "c": [1.5, None]}})
    assert schemas.decode(encode_command(command))[1]["metadata"] == '{"a":{"c":[1.5,null],"d":1},"b":"ü"}'


def test_absent_metadata_is_not_empty_metadata() -> None:
    absent = make.make_identify_command(metadata=None)
    empty = make.make_identify_command(metadata={})
    assert decode_command(encode_command(absent)) == absent
    assert decode_command(encode_command(empty)) == empty != absent


@pytest.mark.parametrize("metadata", ["", "{", "[]", "1", "[" * 100_000])
def test_metadata_that_is_no_object_is_undecodable(metadata: str) -> None:
    data = spoil(IDENTIFY_COMMAND, encode_command(make.make_identify_command()), metadata=metadata)
    with pytest.raises(UndecodableError):
        decode_command(data)


def test_a_warning_with_a_code_that_is_not_ours_is_undecodable() -> None:
    slip = encode_conversation_command(make.make_resume_slip())
    data = spoil(RESUME_SLIP, slip, warnings=[{"code": "later", "message": "", "field": ""}])
    with pytest.raises(UndecodableError):
        decode_conversation_command(data)


def test_records_of_another_log_are_undecodable() -> None:
    command = encode_command(make.make_identify_command())
    with pytest.raises(UndecodableError, match="where"):
        decode_conversation_command(command)
    with pytest.raises(UndecodableError, match="where"):
        decode_conversation_command(OWNER)
    with pytest.raises(UndecodableError, match="where"):
        decode_command(OWNER)
