"""The values of `conversation-commands` as bytes: routing slips, messages, conversations to be forgotten."""

from airy_identify.core.answers import ConversationCommand, ForgetConversation, ResumeSlip, TokenSlip
from airy_identify.core.values import ConversationId, Message
from airy_identify.wire import fragments, schemas, slips
from airy_identify.wire.errors import UndecodableError

RESUME_SLIP = "airy_identify.ResumeSlip"
TOKEN_SLIP = "airy_identify.TokenSlip"  # noqa: S105 - the name of a record
FORGET_CONVERSATION = "airy_identify.ForgetConversation"
MESSAGE_RECEIVED = "airy_identify.MessageReceived"


def encode_conversation_command(command: ConversationCommand) -> bytes:
    """Return the slip, message or erasure in single-object encoding; equal values give equal bytes."""
    match command:
        case Message():
            datum = {**fragments.message_datum(command), "tenant": command.tenant}
            return schemas.encode(MESSAGE_RECEIVED, datum)
        case ResumeSlip():
            return schemas.encode(RESUME_SLIP, slips.resume_slip_datum(command))
        case TokenSlip():
            return schemas.encode(TOKEN_SLIP, slips.token_slip_datum(command))
        case ForgetConversation():
            return schemas.encode(FORGET_CONVERSATION, {"conversation_id": command.conversation_id})


def decode_conversation_command(data: bytes) -> ConversationCommand:
    """Return what `encode_conversation_command` wrote. Raises `UndecodableError`."""
    name, datum = schemas.decode(data)
    if name == MESSAGE_RECEIVED:
        return fragments.read_message(datum)
    if name == RESUME_SLIP:
        return slips.read_resume_slip(datum)
    if name == TOKEN_SLIP:
        return slips.read_token_slip(datum)
    if name == FORGET_CONVERSATION:
        return ForgetConversation(conversation_id=ConversationId(datum["conversation_id"]))
    raise UndecodableError(f"{name} where a value of conversation-commands belongs")
