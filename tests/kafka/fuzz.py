"""Seeded nonsense for `identify-requests`: values, keys and headers that are right, nearly right, and not at all."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airy_identify.wire.headers import CORRELATION_ID, CORRELATION_ID_BYTES_MAX, REPLY_PARTITION, REPLY_TOPIC
from tests.avro_form import write_by_apache
from tests.refusals import RECORDS
from tests.wire.golden_records import RECORDS as GOLDEN_RECORDS

PERSONS = 50
Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True)
class FuzzRecord:
    """A record to be sent. `correlation_id` is the one that an answer has to carry, null when the request id does."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int
    correlation_id: bytes | None


class Fuzz:
    """Makes records. The same seed gives the same ones."""

    def __init__(self, seed: int, *, channel: str, reply_topics: tuple[str, ...], partitions: int) -> None:
        self._random = random.Random(seed)
        self._channel = channel
        self._reply_topics = reply_topics
        self._partitions = partitions
        self._values: tuple[Callable[[], bytes | None], ...] = (
            self._json,
            self._json,
            self._json_nearly,
            self._json_nearly,
            self._json_cut,
            self._json_other,
            self._avro,
            self._avro,
            self._avro_cut,
            self._avro_flipped,
            self._avro_flipped,
            self._avro_other,
            self._bytes,
            lambda: None,
        )
        self._golden = [produce() for name, produce in GOLDEN_RECORDS.items() if not name.endswith("Request")]

    def record(self) -> FuzzRecord:
        """Return the next record."""
        headers, correlation_id = self._headers()
        return FuzzRecord(
            key=self._key(),
            value=self._random.choice(self._values)(),
            headers=headers,
            partition=self._random.randrange(self._partitions),
            correlation_id=correlation_id,
        )

    def _fields(self) -> tuple[str, dict[str, Any]]:
        """Return a command and the fields of a good request for it."""
        pick, person = self._random, self._random.randrange(PERSONS)
        contact_id = f"{pick.getrandbits(128):032x}"
        others: tuple[tuple[str, dict[str, Any]], ...] = (
            ("info", {"external_id": f"p-{person}"}),
            ("merge", {"source_id": contact_id, "destination_id": contact_id[::-1]}),
            ("unmerge", {"contact_id": contact_id}),
            ("release", {"contact_id": contact_id, "kind": "email", "value": "a@b.cd"}),
            ("forget", {"contact_id": contact_id}),
            ("resume_token", {"channel_id": self._channel, "conversation_id": contact_id}),
        )
        if pick.random() < 0.5:
            return pick.choice(others)
        fields: dict[str, Any] = {"channel_id": self._channel, "external_id": f"p-{person}"}
        if pick.random() < 0.5:
            fields["email"] = f"p-{pick.randrange(PERSONS)}@example.com"
        if pick.random() < 0.3:
            fields["identifiers"] = {"device": f"d-{pick.randrange(PERSONS)}", "crm": [f"c-{person}"]}
        if pick.random() < 0.3:
            fields["metadata"] = {"plan": pick.choice(("free", "pro", None)), "n": pick.random()}
        if pick.random() < 0.2:
            fields["dry_run"] = True
        return "identify", fields

    def _json_fields(self) -> dict[str, Any]:
        command, fields = self._fields()
        return fields if command == "identify" else fields | {"command": command}

    def _json(self) -> bytes:
        return json.dumps(self._json_fields(), ensure_ascii=self._random.random() < 0.5).encode()

    def _json_nearly(self) -> bytes:
        """A good request with one field that is wrong, or one character that is."""
        pick, fields = self._random, self._json_fields()
        if pick.random() < 0.5:
            name = pick.choice(
                (*fields, "tenant", "unverified", "attach", "on_conflict", "phone_number", "explain", "command")
            )
            fields[name] = pick.choice(
                (
                    None,
                    7,
                    -1.5e300,
                    True,
                    "",
                    " ",
                    [],
                    {},
                    [None],
                    {"a": {"b": []}},
                    "null",
                    "\x00",
                    "x" * 300,
                    "\ud800",
                )
            )
            return json.dumps(fields).encode()
        text = json.dumps(fields)
        place = pick.randrange(len(text))
        return (text[:place] + pick.choice('{}[]",:\\ 0aN\x00ü') + text[place + pick.randrange(2) :]).encode()

    def _json_cut(self) -> bytes:
        value = self._json()
        return value[: self._random.randrange(len(value))]

    def _json_other(self) -> bytes:
        return self._random.choice(
            (
                b"[]", b"7", b'"text"', b"null", b"true", b"{}", b"NaN", b"[" * 5_000, b'{"a":' * 500, b'{"a":1e999}',
                b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b'{"\\ud800":1}', b" " * 1_000 + b"{}",
                b'{"channel_id":"' + b"x" * 20_000 + b'"}',
            )
        )  # fmt: skip

    def _avro(self) -> bytes:
        command, fields = self._fields()
        return write_by_apache(RECORDS[command], fields)

    def _avro_cut(self) -> bytes:
        value = self._avro()
        return value[: self._random.randrange(len(value))] if self._random.random() < 0.7 else value + self._bytes()

    def _avro_flipped(self) -> bytes:
        value = bytearray(self._avro())
        for _ in range(self._random.randint(1, 3)):
            value[self._random.randrange(len(value))] ^= 1 << self._random.randrange(8)
        return bytes(value)

    def _avro_other(self) -> bytes:
        """Avro that is no request: other records, unknown fingerprints, Confluent's wire format, garbage."""
        pick = self._random
        return pick.choice(
            (
                pick.choice(self._golden),
                b"\xc3\x01" + pick.randbytes(8) + self._avro()[10:],
                b"\x00\x00\x00\x00\x07" + self._avro()[10:],
                self._avro()[:10] + pick.randbytes(pick.randrange(60)),
                b"\xc3\x01",
            )
        )

    def _bytes(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 2, 9, 40, 400)))

    def _key(self) -> bytes | None:
        pick = self._random
        if pick.random() < 0.005:
            return pick.randbytes(50_000)
        return pick.choice((None, b"", b"key", pick.randbytes(8), "ключ".encode()))

    def _headers(self) -> tuple[Headers, bytes | None]:
        """Return headers, and the correlation id that counts."""
        pick = self._random
        headers, correlation_id = self._correlation()
        headers = [*headers, *self._reply()] if pick.random() < 0.5 else [*self._reply(), *headers]
        if pick.random() < 0.2:
            headers.insert(0, (pick.choice(("", "traceparent", "airy_identify_code", "ü\n")), pick.randbytes(20)))
        if pick.random() < 0.02:
            name = pick.choice((b"\xff", b"kafka_replyTopic\x80", pick.randbytes(9))).decode(errors="surrogateescape")
            headers.insert(pick.randrange(len(headers) + 1), (name, pick.randbytes(5)))
        return headers, correlation_id

    def _correlation(self) -> tuple[Headers, bytes | None]:
        pick = self._random
        correlation_id = pick.randbytes(16)
        match pick.randrange(10):
            case 0:
                return [], None
            case 1:
                return [(CORRELATION_ID, correlation_id), (CORRELATION_ID, None)], None
            case 2:
                headers: Headers = [(CORRELATION_ID, b"first"), (CORRELATION_ID, None)]
                return [*headers, (CORRELATION_ID, correlation_id)], correlation_id
            case 3 if pick.random() < 0.02:
                correlation_id = pick.randbytes(CORRELATION_ID_BYTES_MAX + 1)
        return [(CORRELATION_ID, correlation_id)], correlation_id

    def _reply(self) -> Headers:
        pick, headers = self._random, list[tuple[str, bytes | None]]()
        topics = [topic.encode() for topic in self._reply_topics]
        match pick.randrange(8):
            case 0:
                headers.append((REPLY_TOPIC, pick.choice((b"elsewhere", b"\xff\xfe", b"", topics[0] + b" "))))
            case 1:
                headers += [(REPLY_TOPIC, b"elsewhere"), (REPLY_TOPIC, pick.choice(topics))]
            case 2:
                headers.append((REPLY_TOPIC, None))
            case 3 | 4 | 5:
                headers.append((REPLY_TOPIC, pick.choice(topics)))
        if pick.random() < 0.5:
            number = pick.choice((0, self._partitions - 1, self._partitions, -1, 2**31 - 1, -(2**31)))
            partition = number.to_bytes(4, "big", signed=True)
            headers.append((REPLY_PARTITION, pick.choice((partition, partition, partition, b"", b"1", bytes(5), None))))
        return headers
