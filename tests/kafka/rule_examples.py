"""The examples of docs/identity-rules.md: read from the page, run through a door, compared with what the page shows.

A block is a list of steps, each from the first column on: a command with its fields; `→` with a status, 200 when there
is none, and what matters of the answer; at the end `table` with every row that the tenant then has in the table
`contact-identity`. What stands in angle brackets is a name for an id: the first answer that has one gives it its
meaning, and two names are two ids. `<token of chat>` is a token for the conversation of that name, a new one if nobody
has it yet; `on` names another channel.
"""

import dataclasses
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airy_identify.core.levels import level_of
from airy_identify.core.values import (
    AliasKey,
    Contact,
    ContactKey,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    JournalKey,
    Merged,
    Owner,
)
from airy_identify.wire.resume_token import TOKEN_TTL_S, ResumeTokenSigner
from tests.kafka.doors import PATHS, Door
from tests.kafka.service import Answer, Tenant

PAGE = Path(__file__).parents[2] / "docs" / "identity-rules.md"
NEEDS_CHANNEL = ("identify", "resume_token")
NOTHING = ("nothing",)
TOLD = ("airy", "message")
"""What is told and not asked, in the examples of docs/airy-contacts.md."""
_NAME = re.compile(r"<([^<>]+)>")
_TOKEN = re.compile(r"<(expired )?token of ([^<>]+?)(?: on ([^<>]+))?>")
_LONG = re.compile(r"<(\d+) characters>")


@dataclass(frozen=True)
class Step:
    """One request, or what the one before it is answered."""

    what: str
    body: Any
    status: int = 200


@dataclass(frozen=True)
class Example:
    """One block of the page, under its rule."""

    rule: str
    number: int
    steps: tuple[Step, ...]
    table: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rule} {self.number}"

    @property
    def has_two_tenants(self) -> bool:
        return any("<other tenant>" in texts_of(step.body) for step in self.steps)


def read_examples(text: str) -> list[Example]:
    """Return the examples of a page, in its order."""
    examples: list[Example] = []
    rule, number = "", 0
    for heading, block in re.findall(r"^### ([^\n]+)$|^```example\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        if heading:
            rule, number = heading, 0
            continue
        number += 1
        steps, table = _read_block(block)
        examples.append(Example(rule=rule, number=number, steps=steps, table=table))
    return examples


def _read_block(block: str) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    steps: list[Step] = []
    table: tuple[str, ...] = ()
    for paragraph in re.split(r"^(?=\S)", block, flags=re.MULTILINE)[1:]:
        word, _, rest = paragraph.partition(" ")
        if word.strip() == "table":
            table = tuple(line.strip() for line in paragraph.splitlines()[1:])
        elif word == "→":
            status, body = re.fullmatch(r"(\d{3} )?(.*)", rest.strip(), flags=re.DOTALL).groups()  # type: ignore[union-attr]
            steps.append(Step("→", json.loads(body), int(status or 200)))
        else:
            assert word in {*PATHS, *TOLD}, f"no command: {word}"
            steps.append(Step(word, json.loads(rest)))
    return tuple(steps), table


@dataclass
class Run:
    """An example on its way through a door. The tenants have nobody before it; `answers` are what came."""

    example: Example
    tenant: Tenant
    signer: ResumeTokenSigner
    other: Tenant | None = None
    ids: dict[str, Any] = field(default_factory=dict)
    answers: list[tuple[str, int, Answer]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ids |= {"channel": self.tenant.channel, "other channel": self.tenant.other_channel}
        if self.other is not None:
            self.ids |= {"other tenant": self.other.name, "their channel": self.other.channel}

    async def through(self, door: Door) -> None:
        """Ask everything, and compare each answer with the page."""
        for step in self.example.steps:
            if step.what == "→":
                _, status, answer = self.answers[-1]
                assert status == step.status, answer
                self.match(step.body, answer, "answer")
                self._assert_nothing_is_kept_back(step, answer)
                continue
            fields = {"tenant": self.tenant.name} | self._filled(step.body)
            if step.what in NEEDS_CHANNEL:
                fields = {"channel_id": self.tenant.channel} | fields
            self.answers.append((step.what, *await door.ask(step.what, fields)))

    def match(self, expected: Any, actual: Any, where: str) -> None:
        """Compare: members that the page leaves out do not matter, everything else does."""
        if isinstance(expected, str) and (name := _NAME.fullmatch(expected)) and not _LONG.fullmatch(expected):
            self._name(name[1], actual, where)
        elif isinstance(expected, dict) and expected:
            assert isinstance(actual, dict), where
            for member, value in expected.items():
                assert member in actual, f"{where}.{member} is not there"
                self.match(value, actual[member], f"{where}.{member}")
        elif isinstance(expected, list):
            assert isinstance(actual, list), where
            assert len(expected) == len(actual), f"{where}: {actual}"
            for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
                self.match(one, other, f"{where}[{number}]")
        else:
            assert self._filled(expected) == actual, where

    def assert_table(self, rows: Mapping[IdentityKey, IdentityRow]) -> None:
        """Compare all rows of the tenant with those of the page, the ids of which may come up here first."""
        if not self.example.table:
            return
        left = {key: row for key, row in rows.items() if key.tenant == self.tenant.name}
        for line in self.example.table if self.example.table != NOTHING else ():
            errors = []
            for key, row in left.items():
                ids = dict(self.ids)
                try:
                    self._match_row(line, key, row)
                except AssertionError as error:
                    errors.append(str(error))
                    self.ids = ids
                else:
                    del left[key]
                    break
            else:
                raise AssertionError(f"no such row: {line} as {self.ids}; there are {left}")
        assert not left, f"rows that the page does not show: {left}"

    def _match_row(self, line: str, key: IdentityKey, row: IdentityRow) -> None:
        left, _, right = line.partition(": ") if line.startswith("contact") else line.rpartition(": ")
        self._match_text(left.split(" "), _parts(key), line)
        if isinstance(row, Forgotten):
            assert right == "forgotten"
        elif isinstance(row, Contact):
            level, _, body = right.partition(" ")
            assert level == level_of(row).value, line
            if body:
                self.match(json.loads(body), json.loads(json.dumps(dataclasses.asdict(row))), line)
        elif isinstance(row, Merged):
            self._match_text(right.split(" "), [row.merged.id, "into", row.survivor.id, "by", row.why], line)
        else:
            assert isinstance(row, Owner), line
            self._match_text([right], [row.contact_id], line)

    def _match_text(self, expected: list[str], actual: list[str], where: str) -> None:
        assert len(expected) == len(actual), where
        for one, other in zip(expected, actual, strict=True):
            self.match(one, other, where)

    def _name(self, name: str, actual: Any, where: str) -> None:
        assert actual is not None, f"{where} is null"
        if name not in self.ids:
            taken = [known for known, value in self.ids.items() if value == actual]
            assert not taken, f"{where}: <{name}> is <{taken[0]}>"
            self.ids[name] = actual
        assert self.ids[name] == actual, f"{where} is not <{name}>, but {actual}, as {self.ids}"

    def _assert_nothing_is_kept_back(self, step: Step, answer: Answer) -> None:
        """An answer to identify has no merges and warnings that the page does not show."""
        for member in ("merged", "warnings"):
            assert member in step.body or not answer.get(member), answer

    def _token(self, expired: str | None, chat: str, channel: str | None) -> str:
        conversation_id = self.ids.setdefault(chat, str(uuid.uuid4()))
        issued_at_s = int(time.time()) - (TOKEN_TTL_S + 1 if expired else 0)
        return self.signer.sign(conversation_id, self.ids[channel or "channel"], issued_at_s)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(name): self._filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if not isinstance(value, str):
            return value
        if long := _LONG.fullmatch(value):
            return "x" * int(long[1])
        if token := _TOKEN.fullmatch(value):
            return self._token(*token.groups())
        return _NAME.sub(lambda name: str(self.ids[name[1]]), value)


def _parts(key: IdentityKey) -> list[str]:
    match key:
        case ContactKey():
            return ["contact", key.contact_id]
        case IdentifierKey():
            return [key.kind, key.value]
        case AliasKey():
            return ["alias", key.contact_id]
        case ConversationOwnerKey():
            return ["conversation", key.conversation_id]
        case JournalKey():
            return ["merge", key.contact_id, str(key.number)]
        case _:
            raise AssertionError(f"the page shows no such rows: {key}")


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in an answer."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)
