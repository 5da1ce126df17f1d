"""Conversations: what was said last in each, and how a resume slip collects them.

- `last_message` has the greatest `sent_at`; ties go to the greater message id. An equal or newer record of the same
  message replaces it. So rows do not depend on the order in which different messages arrive.
- Content over 16 KiB is not kept, and so not answered: it is null.
- A slip looks up all conversations of its contact on the channel, at most 8 partitions of them, newest first.
- It keeps the best 50: newest last message first, those without last, then newest created, then id ascending.
  Messages sent at the same time are equally new here.
- What is left out, cut or not looked up makes the answer `truncated`.
- A forgotten conversation is a bare marker. Late messages do not revive it, and it gets no token: a slip that was on
  its way when it was forgotten leaves it out.
"""

from collections.abc import Callable
from dataclasses import replace

from airy_identify.core.airy_facts import CHAT_PLUGIN
from airy_identify.core.answers import ContactInfo, ConversationSummary, Identified, ResumeSlip, TokenGiven, TokenSlip
from airy_identify.core.reasons import Rejected, unknown_conversation
from airy_identify.core.values import (
    ContactConversation,
    Conversation,
    ConversationId,
    ConversationRow,
    Forgotten,
    Message,
    SeenConversation,
)

CONTENT_BYTES_MAX = 16 * 1024
SUMMARIES_MAX = 50
STOPS_MAX = 8


def apply_message(row: ConversationRow | None, message: Message) -> Conversation | None:
    """Return the conversation's row with this message as its last, or `None` if the row does not change.

    A message may come before its conversation was opened, and may be one of Airy's own: then there is no row yet. A
    forgotten conversation stays forgotten.
    """
    if isinstance(row, Forgotten):
        return None
    if row is None:
        return Conversation(
            id=message.conversation_id,
            channel_id=message.channel_id,
            source=message.source,
            last_message=_kept(message),
            first_sent_at_ms=_first_sent(None, message),
        )
    last = row.last_message
    if last is None or _recency(message) >= _recency(last):
        last = _kept(message)
    after = replace(row, last_message=last, first_sent_at_ms=_first_sent(row.first_sent_at_ms, message))
    return None if after == row else after


def conversation_seen(before: ConversationRow | None, after: Conversation | None) -> SeenConversation | None:
    """Return what the table of contacts has to learn of a conversation that began outside this service.

    Null for a conversation that was minted here, or on a channel of another source, and when nothing new is known.
    `before` and `after`: its row before and after a message, `after` null when that did not change it.
    """
    if after is None or after.first_sent_at_ms is None or after.created_at_ms is not None:
        return None
    known = before.first_sent_at_ms if isinstance(before, Conversation) else None
    if after.source != CHAT_PLUGIN or known == after.first_sent_at_ms:
        return None
    return SeenConversation(channel_id=after.channel_id, source=after.source, created_at_ms=after.first_sent_at_ms)


def shorten(message: Message) -> Message:
    """Return the message without its content if that is longer than an answer shows it.

    Rows hold messages this way, so a row is a few KiB more than `CONTENT_BYTES_MAX`, whatever Airy lets a visitor send.
    """
    content = message.content
    if content is None or _fits(content):
        return message
    return replace(message, content=None)


def open_conversation(row: ConversationRow | None, minted: ContactConversation) -> Conversation | None:
    """Return the row of a minted conversation, or `None` if it is open already. Its first message may have come first.

    It may have been forgotten before its slip came here: then it stays so.
    """
    if isinstance(row, Forgotten) or (row is not None and row.created_at_ms is not None):
        return None
    return Conversation(
        id=minted.id,
        channel_id=minted.channel_id,
        source=minted.source,
        created_at_ms=minted.created_at_ms,
        last_message=None if row is None else row.last_message,
        first_sent_at_ms=None if row is None else row.first_sent_at_ms,
    )


def limit_stops(
    slip: ResumeSlip, partition_of: Callable[[ConversationId], int], stops_max: int = STOPS_MAX
) -> ResumeSlip:
    """Return the slip with only as many partitions to visit as it may, those of the newest conversations."""
    stops: set[int] = set()
    kept = []
    for conversation in slip.pending:
        stop = partition_of(conversation.id)
        if stop in stops or len(stops) < stops_max:
            stops.add(stop)
            kept.append(conversation)
    if len(kept) == len(slip.pending):
        return slip
    return replace(slip, pending=tuple(kept), truncated=True)


def visit(
    slip: ResumeSlip,
    held: Callable[[ConversationId], bool],
    row: Callable[[ConversationId], ConversationRow | None],
) -> ResumeSlip:
    """Return the slip after a stop: every pending conversation that is held here is looked up, the best are kept.

    A conversation without a row is one in which nothing was said.
    """
    summaries = list(slip.summaries)
    pending = []
    for conversation in slip.pending:
        if not held(conversation.id):
            pending.append(conversation)
            continue
        found = row(conversation.id)
        if not isinstance(found, Forgotten):
            last_message = None if found is None else found.last_message
            summaries.append(ConversationSummary(conversation=conversation, last_message=last_message))
    if len(summaries) > 1:
        _sort(summaries)
    return replace(
        slip,
        pending=tuple(pending),
        summaries=tuple(summaries[:SUMMARIES_MAX]),
        truncated=slip.truncated or len(summaries) > SUMMARIES_MAX,
    )


def finish(slip: ResumeSlip) -> Identified | ContactInfo:
    """Return the answer of a slip that has been everywhere.

    Raises:
        ValueError: there are conversations yet to be looked up.
    """
    if slip.pending:
        raise ValueError(f"{len(slip.pending)} conversations of {slip.request_id} are still to be looked up")
    truncated = slip.truncated or any(_is_cut(summary) for summary in slip.summaries)
    if slip.details is not None:
        return ContactInfo(
            request_id=slip.request_id,
            contact=slip.contact,
            conversations=slip.summaries,
            details=slip.details,
            truncated=truncated,
        )
    return Identified(
        request_id=slip.request_id,
        contact=slip.contact,
        conversations=slip.summaries,
        created_contact=slip.created_contact,
        created_conversation=slip.created_conversation,
        merged=slip.merged,
        warnings=slip.warnings,
        truncated=truncated,
        dry_run=slip.dry_run,
        accepted_at_ms=slip.accepted_at_ms,
        explanation=slip.explanation,
    )


def give_token(slip: TokenSlip, row: ConversationRow | None) -> TokenGiven | Rejected:
    """Return the answer to a request for a resume token, at the stop that holds the conversation.

    Rejected as `unknown_conversation`: it was forgotten, or no contact has it and nothing was said in it on this
    channel.
    """
    if isinstance(row, Forgotten):
        return unknown_conversation()
    if not slip.owned and (row is None or row.channel_id != slip.channel_id):
        return unknown_conversation()
    return TokenGiven(
        request_id=slip.request_id,
        accepted_at_ms=slip.accepted_at_ms,
        channel_id=slip.channel_id,
        conversation_id=slip.conversation_id,
    )


def _first_sent(known: int | None, message: Message) -> int | None:
    """Return when the earliest message known was sent. One without a tenant tells nobody: the next one has to."""
    if message.tenant is None:
        return known
    return message.sent_at_ms if known is None else min(known, message.sent_at_ms)


def _kept(message: Message) -> Message:
    """Return the message as it is kept with its conversation, whose tenant is known."""
    return replace(shorten(message), tenant=None)


def _recency(message: Message) -> tuple[int, str, int]:
    return (message.sent_at_ms, message.id, message.updated_at_ms or 0)


def _fits(content: str) -> bool:
    # A character is one to four bytes of UTF-8, so most contents need not be encoded to be measured.
    if len(content) > CONTENT_BYTES_MAX:
        return False
    return 4 * len(content) <= CONTENT_BYTES_MAX or len(content.encode()) <= CONTENT_BYTES_MAX


def _is_cut(summary: ConversationSummary) -> bool:
    return summary.last_message is not None and summary.last_message.content is None


def _sort(summaries: list[ConversationSummary]) -> None:
    """Sort the best first: by the last key first, as sorting is stable."""
    summaries.sort(key=lambda summary: summary.conversation.id)
    summaries.sort(key=lambda summary: summary.conversation.created_at_ms, reverse=True)
    summaries.sort(key=_last_said, reverse=True)


def _last_said(summary: ConversationSummary) -> tuple[bool, int]:
    message = summary.last_message
    return (False, 0) if message is None else (True, message.sent_at_ms)
