"""Who may see what: every answer of the real agents, checked by a ledger of who ever was who.

Everything that is somebody's has a mark in it that is found in any bytes (`tests/model/commands.py`).
"""

import json
import logging
import re

import hypothesis.strategies as st
import structlog
from hypothesis.stateful import precondition, rule

from airy_identify.core.answers import Decision
from airy_identify.core.commands import Command, Forget, Identify
from airy_identify.core.values import (
    Contact,
    ContactKey,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    Merged,
    Owner,
    TenantId,
)
from airy_identify.wire.commands import encode_command
from airy_identify.wire.rows import encode_identity_row
from tests import builders as make
from tests.model.commands import CommandMachine, as_test
from tests.model.service import InMemoryService

MARK = re.compile(rb"mark-[a-z]+-[0-9]+~|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CHANNELS = {make.CHANNEL_ID.encode(), make.OTHER_CHANNEL_ID.encode()}
Someone = tuple[TenantId, str]


def marks_in(data: bytes) -> set[bytes]:
    return set(MARK.findall(data)) - CHANNELS


class RecordingHandler(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Ledger:
    """Who ever had what, and who ever was one with whom, by any merge."""

    def __init__(self) -> None:
        self.marks: dict[Someone, set[bytes]] = {}
        self.said: dict[bytes, set[bytes]] = {}
        self.kin: dict[Someone, set[Someone]] = {}

    def note(self, tenant: TenantId, decision: Decision) -> None:
        for _, row in decision.writes:
            if isinstance(row, Contact):
                someone = (tenant, str(row.id))
                self.marks.setdefault(someone, set()).update(marks_in(encode_identity_row(row)))
                self.kin.setdefault(someone, {someone})
            if isinstance(row, Merged):
                self.are_kin((tenant, str(row.survivor.id)), (tenant, str(row.merged.id)))

    def are_kin(self, one: Someone, other: Someone) -> None:
        both = self.kin.get(one, {one}) | self.kin.get(other, {other})
        for each in both:
            self.kin[each] = both

    def belongs_to(self, someone: Someone) -> set[bytes]:
        """Return everything that ever belonged to a contact or to one that it was merged with."""
        marks: set[bytes] = set()
        for each in self.kin.get(someone, {someone}):
            marks |= {each[1].encode()} | self.marks.get(each, set())
        return marks.union(*(self.said.get(mark, set()) for mark in marks))


class AnswersOfTheService(CommandMachine):
    """Every command goes to the service too. `check_answer` finds its `answer`, and the rows `before` it."""

    def __init__(self) -> None:
        super().__init__()
        self.service = InMemoryService()
        self.ledger = Ledger()
        self.messages = 0
        self.before: dict[IdentityKey, IdentityRow] = {}
        self.answer = b""

    def apply(self, command: Command) -> None:
        self.before = dict(self.table.rows)
        decision = self.table.apply(command)
        if isinstance(decision, Decision):
            self.ledger.note(command.tenant, decision)
        handler = RecordingHandler()
        logging.getLogger().addHandler(handler)
        with structlog.testing.capture_logs() as logged:
            self.answer = self.service.ask(command)
        logging.getLogger().removeHandler(handler)
        assert not marks_in(repr((handler.lines, logged)).encode())
        self.check_answer(command)

    @precondition(lambda self: len(self.chats) > 1)
    @rule(data=st.data())
    def say_something(self, data: st.DataObject) -> None:
        chat = data.draw(st.sampled_from(self.chats))
        text = f"mark-text-{self.messages}~"
        self.messages += 1
        self.ledger.said.setdefault(chat.encode(), set()).add(text.encode())
        message = make.make_message(
            id=f"message-{self.messages}",
            conversation_id=chat,
            content=text,
            sent_at_ms=self.messages,
            sender_id="guest",
        )
        self.service.tell(message, chat)

    def check_answer(self, command: Command) -> None:
        """Check an answer."""


class NoAnswerHasDataOfAnotherContact(AnswersOfTheService):
    """An answer holds what its request says, and what ever was the answered contact's or of one it was merged with.

    Also of one that a dry run says it would be merged with, and what was said in a conversation that the request has a
    token of, unless somebody known has it. That is all: a refusal, and the answer about a person yet to
    be made, hold nothing but what the request says. Nothing is logged.
    """

    def check_answer(self, command: Command) -> None:
        body = json.loads(self.answer)
        allowed = marks_in(encode_command(command)) | self.brought(command)
        answered = [contact["id"] for contact in (body.get("contact"), body.get("restored")) if contact]
        for contact_id in [*answered, *body.get("merged", [])]:
            if contact_id is not None:
                allowed |= self.ledger.belongs_to((command.tenant, contact_id))
        if isinstance(command, Identify) and command.dry_run and answered == [None]:
            assert body["merged"] == []
        assert marks_in(self.answer) <= allowed

    def brought(self, command: Command) -> set[bytes]:
        """Return what was said in the conversation that a token brings."""
        if not isinstance(command, Identify) or not command.attach or not command.attach.conversation_id:
            return set()
        chat = command.attach.conversation_id
        owner = self.before.get(ConversationOwnerKey(tenant=command.tenant, conversation_id=chat))
        if isinstance(owner, Owner):
            contact = self.before[ContactKey(tenant=command.tenant, contact_id=owner.contact_id)]
            assert isinstance(contact, Contact)
            if contact.known or contact.external_id:
                return set()
        return set() if isinstance(owner, Forgotten) else self.ledger.said.get(chat.encode(), set())


class NoAnswerShowsChatsOfKnownPeopleToOthers(AnswersOfTheService):
    """A conversation of a contact that ever was hard or known is shown to those who name a verified value of it.

    The conversation stays such a one, whoever has it later. Custom identifiers do not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ever_known: set[Someone] = set()
        self.private: set[tuple[TenantId, str]] = set()

    def check_answer(self, command: Command) -> None:
        if isinstance(command, Identify):
            named = verified_values(command)
            for conversation in json.loads(self.answer).get("conversations", []):
                chat = conversation["id"]
                if (command.tenant, chat) in self.private:
                    owner = self.before[ConversationOwnerKey(tenant=command.tenant, conversation_id=chat)]
                    held = {
                        (key.kind, key.value)
                        for key, row in self.before.items()
                        if isinstance(key, IdentifierKey) and key.tenant == command.tenant and row == owner
                    }
                    assert held & named
        self.note_who_is_known(command)

    def note_who_is_known(self, command: Command) -> None:
        for key, row in self.table.rows.items():
            if isinstance(row, Merged) and (key.tenant, str(row.merged.id)) in self.ever_known:
                self.ever_known.add((key.tenant, str(row.survivor.id)))
            if isinstance(row, Contact):
                came_back = command.tenant == key.tenant and row.id == getattr(command, "contact_id", None)
                unmerged = came_back and ContactKey(tenant=key.tenant, contact_id=row.id) not in self.before
                verified = [value for value in (row.email, row.phone_number) if value and value.verified]
                if row.external_id or verified or unmerged:
                    self.ever_known.add((key.tenant, str(row.id)))
        for key, row in self.table.rows.items():
            if isinstance(row, Contact) and (key.tenant, str(row.id)) in self.ever_known:
                self.private |= {(key.tenant, str(chat.id)) for chat in row.conversations}


class WhatIsForgottenIsNowhere(AnswersOfTheService):
    """Of somebody forgotten nothing is left in any row: their ids are keys of bare markers, and that is all.

    What others have too, because they were merged and parted again or took it over, is theirs. So is a name that an old
    command brings again: whoever it is about now is a new person.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gone: dict[bytes, set[bytes]] = {}

    def check_answer(self, command: Command) -> None:
        if isinstance(command, Forget):
            tenant = command.tenant
            for key, row in self.table.rows.items():
                if isinstance(key, ContactKey) and isinstance(row, Forgotten) and self.before[key] != row:
                    self.gone[f"{tenant} {key.contact_id}".encode()] = self.only_of((tenant, str(key.contact_id)))
        if isinstance(command, Identify):
            named = {mark for mark in marks_in(encode_command(command)) if mark.startswith(b"mark-name")}
            self.gone = {someone: marks - named for someone, marks in self.gone.items()}
        values = [
            *self.service.identity.values(),
            *(row for rows in self.service.conversations for row in rows.values()),
        ]
        keys = [key for key, row in self.service.identity.items() if row != encode_identity_row(Forgotten())]
        left = marks_in(b" ".join(values + keys))
        for marks in self.gone.values():
            assert not left & marks

    def only_of(self, someone: Someone) -> set[bytes]:
        """Return what nobody else ever had: identifiers are in a small pool, so they come again."""
        others = set().union(*(marks for each, marks in self.ledger.marks.items() if each != someone))
        own = {someone[1].encode()} | self.ledger.marks.get(someone, set())
        reused = {
            mark for mark in own if not mark.startswith((b"mark-chat", b"mark-name")) and mark.startswith(b"mark")
        }
        mine = own - others - reused
        return mine.union(*(self.ledger.said.get(mark, set()) for mark in mine))


def verified_values(command: Identify) -> set[tuple[str, str]]:
    named = set()
    if command.external_id:
        named.add(("external_id", command.external_id))
    if command.email and command.email.verified:
        named.add(("email", command.email.value))
    if command.phone_number and command.phone_number.verified:
        named.add(("phone_number", command.phone_number.key))
    return named


TestNoAnswerHasDataOfAnotherContact = as_test(NoAnswerHasDataOfAnotherContact)
TestNoAnswerShowsChatsOfKnownPeopleToOthers = as_test(NoAnswerShowsChatsOfKnownPeopleToOthers)
TestWhatIsForgottenIsNowhere = as_test(WhatIsForgottenIsNowhere)
