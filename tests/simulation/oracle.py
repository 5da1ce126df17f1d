"""What must hold after every step, told from the logs alone, with the agents' functions and tables of its own."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.core.commands import ConversationSeen, Identify
from airy_identify.core.keys import held_identifiers
from airy_identify.core.values import Contact, ContactKey, ConversationId, ConversationOwnerKey, IdentifierKey, Owner
from airy_identify.stream.app import Process
from airy_identify.stream.batch import Batch, Output
from airy_identify.stream.progress import fingerprint
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.commands import decode_log_value
from airy_identify.wire.generations import CURRENT, Generation, decode_generation
from airy_identify.wire.headers import DEAD_LETTER_TIME
from airy_identify.wire.rows import PROGRESS_KEY, decode_identity_key, decode_identity_row, decode_progress
from tests.kafka.replay import DictTable
from tests.simulation.agents import GENERATIONS_MAX, LOGS, NAMES, PARTITIONS
from tests.simulation.broker import Broker, Entry, Transaction, is_visible

Rows = dict[bytes, bytes]
Look = TypeVar("Look", bound=Callable[..., None])
_SHARDS = {f"{NAMES.app_id}-{agent}-{n}": (agent, n) for agent, log in LOGS.items() for n in range(PARTITIONS[log])}


@dataclass
class Replica:
    """One shard as it has to be: its table, how far it has applied its log, and what its changelog says."""

    agent: str
    partition: int
    generation: int = 1
    table: DictTable = field(default_factory=DictTable)
    applied_to: int = 0
    at: int = 0
    taken: bool = False
    changelog_rows: Rows = field(default_factory=dict)
    changelog_end: int = 0

    @property
    def source(self) -> TopicPartition:
        return TopicPartition(LOGS[self.agent], self.partition)

    @property
    def changelog(self) -> TopicPartition:
        return TopicPartition(NAMES.changelog(self.agent, self.generation), self.partition)


def _noting_failures(look: Look) -> Look:
    """Keep what the oracle finds: it looks from inside of the engine, which goes on after errors if it can."""

    @functools.wraps(look)
    def noting(self: "Oracle", *arguments: Any) -> None:
        try:
            look(self, *arguments)
        except Exception as error:
            self.failures.append(error)
            raise

    return noting  # type: ignore[return-value]


class Oracle:
    """Follows the broker. Every method raises `AssertionError` when something is not as it has to be."""

    def __init__(self, broker: Broker, agents: dict[str, Process]) -> None:
        self.broker = broker
        self.replicas = {name: Replica(*shard) for name, shard in _SHARDS.items()}
        """What each shard has now, by its transactional id."""
        self.answered_to: dict[str, int] = dict.fromkeys(_SHARDS, -1)
        """Up to which offset earlier generations have answered."""
        self._tables = {replica.changelog: replica for replica in self.replicas.values()}
        self._tables |= {
            replica.changelog: replica
            for agent in (IDENTITY, CONVERSATION)
            for n in range(PARTITIONS[LOGS[agent]])
            for replica in (Replica(agent, n, generation) for generation in range(2, GENERATIONS_MAX + 1))
        }
        self.contact_ids: dict[str, list[str]] = {}
        self.conversation_ids: dict[str, list[str]] = {}
        self.failures: list[BaseException | str] = []
        self.batches = 0
        self.reruns = 0
        self.switched = 0
        self._agents = agents
        self._first_outputs: dict[tuple[str, int, int], list[Any]] = {}

    @_noting_failures
    def committed(self, transaction: Transaction) -> None:
        """Compare a transaction with what the records that it says it applied must give: all of it, and once."""
        records = dict(transaction.records)
        for record in records.pop(TopicPartition(NAMES.generations, 0), []):
            self._decided(transaction.transactional_id, decode_generation(record.value))
        shards = [replica for place, replica in self._tables.items() if place in records]
        if not shards:
            assert not records, f"{transaction.transactional_id} has published outputs without a progress row"
            return
        (replica,) = shards
        written = records.pop(replica.changelog)
        assert written[-1].key == PROGRESS_KEY
        progress = decode_progress(written[-1].value)
        name = f"{NAMES.app_id}-{replica.agent}-{replica.partition}"
        rebuilt = "-rebuild-" in transaction.transactional_id
        if rebuilt:
            fresh = replica is self.replicas[name] and not replica.taken and progress.offset <= self.answered_to[name]
            assert fresh or replica.generation > self.replicas[name].generation, "a rebuild writes what a shard has"
        else:
            assert replica is self.replicas[name], (
                f"{name} writes generation {replica.generation}, which it does not have"
            )
            replica.taken = True
        source = self._read(replica, progress.offset)
        assert progress.fingerprint == fingerprint(source[-1])
        rows, outputs = self._apply(replica, source)
        if rebuilt or progress.offset <= self.answered_to[name]:
            outputs = {}  # they were given before
        else:
            assert source[0].offset > self.answered_to[name], "what was answered, and what was not, in one batch"
        assert {record.key: record.value for record in written[:-1]} == rows, f"rows of {replica.source}"
        found = {partition: [_output(record) for record in sent] for partition, sent in records.items()}
        assert _comparable(found) == _comparable(outputs), f"outputs of {replica.source}"
        self._fold(replica, written)
        assert replica.changelog_rows == replica.table.rows | {PROGRESS_KEY: written[-1].value}
        if replica.agent == IDENTITY:
            self._check_owners(replica, rows)
        self.batches += 1

    def _decided(self, transactional_id: str, generation: Generation) -> None:
        """A shard has another generation of its table: it says exactly how far the former ones have answered."""
        if generation.state != CURRENT:
            return
        name = f"{NAMES.app_id}-{generation.agent}-{generation.partition}"
        assert transactional_id == name, f"{transactional_id} decides for {name}"
        former = self.replicas[name]
        assert generation.generation > former.generation
        answered_to = max(former.applied_to - 1, self.answered_to[name])
        assert generation.handed_over_at == (None if answered_to < 0 else answered_to), (
            f"{generation}, not {answered_to}"
        )
        place = TopicPartition(NAMES.changelog(generation.agent, generation.generation), generation.partition)
        self.replicas[name], self.answered_to[name] = self._tables[place], answered_to
        assert self.replicas[name].applied_to - 1 <= answered_to, "the new table is ahead of what was answered"
        self.switched += 1

    @_noting_failures
    def stored(self, shard: str, rows: Iterable[tuple[bytes, bytes]], position: int) -> None:
        """Compare a store that has just been written with its changelog: equal up to the position, never ahead."""
        name, _, number = shard.partition("-g")
        agent, _, partition = name.rpartition("-")
        replica = self._tables[TopicPartition(NAMES.changelog(agent, int(number or 1)), int(partition))]
        assert position <= self.broker.logs[replica.changelog].end, f"the store {shard} is ahead of its changelog"
        held = dict(rows)
        if position >= replica.changelog_end:
            assert held == replica.changelog_rows, f"the store {shard} at {position} is not its changelog"
            return
        known = {(entry.record.key, entry.record.value) for entry in self._archive(replica.changelog) if entry.record}
        assert held.items() <= known, f"the store {shard} at {position} holds what its changelog never did"

    @_noting_failures
    def ran(self, agent: str, record: ConsumerRecord, outputs: list[Any]) -> None:
        """Compare what an agent made of a record with what it made of it the first time."""
        if agent not in {IDENTITY, CONVERSATION}:
            return  # they stamp anew; a stamp is no part of any log before its commit
        key = (agent, record.partition, record.offset)
        first = self._first_outputs.setdefault(key, outputs)
        if first is not outputs:
            self.reruns += 1
            assert first == outputs, f"another run of {record.topic}:{record.partition}:{record.offset} differs"

    def behind(self) -> list[str]:
        """Name the logs that are not applied to their end."""
        return [
            f"{replica.source.topic}:{replica.source.partition}"
            for replica in self.replicas.values()
            if any(is_visible(entry) for entry in self._unapplied(replica)) or self.broker.logs[replica.source].open
        ]

    def check_aborted_outputs(self) -> None:
        """Whatever an uncommitted reader sees of an aborted batch came again, byte for byte, and was committed."""
        for topic in (NAMES.responses, NAMES.bridge_responses, NAMES.conversation_commands):
            for number in range(PARTITIONS[topic]):
                entries = self.broker.logs[TopicPartition(topic, number)].archive
                seen = {_output(entry.record) for entry in entries if is_visible(entry)}
                for entry in entries:
                    if entry.record is not None and not is_visible(entry):
                        assert _output(entry.record) in seen, f"an aborted record of {topic} did not come again"

    def visible(self, topic: str) -> list[ConsumerRecord]:
        """Return what was ever visible in a topic, in order within each partition."""
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS[topic])]
        return [entry.record for each in partitions for entry in self._archive(each)]

    def changelog(self, agent: str) -> list[ConsumerRecord]:
        """Return what was ever visible in the changelogs that the partitions of a table have now."""
        found = [replica for replica in self.replicas.values() if replica.agent == agent]
        return [entry.record for each in found for entry in self._archive(each.changelog)]

    def _read(self, replica: Replica, last: int) -> list[ConsumerRecord]:
        """Return the records that come next, up to the last one that the shard says it applied."""
        log = self.broker.logs[replica.source]
        assert replica.applied_to <= last, f"{replica.source} was applied to offset {last} a second time"
        assert last < log.stable_end(replica.source), f"{replica.source} was read beyond what is decided"
        records = [entry.record for entry in self._unapplied(replica) if entry.offset <= last and is_visible(entry)]
        found = [record.offset for record in records if record is not None]
        assert found[-1:] == [last], f"{replica.source} has no record at offset {last}"
        replica.applied_to = last + 1
        return records

    def _unapplied(self, replica: Replica) -> Sequence[Entry]:
        return self.broker.logs[replica.source].archive[replica.applied_to :]

    def _archive(self, partition: TopicPartition) -> list[Entry]:
        return [entry for entry in self.broker.logs[partition].archive if is_visible(entry)]

    def _apply(
        self, replica: Replica, records: Sequence[ConsumerRecord]
    ) -> tuple[dict[bytes, bytes | None], dict[TopicPartition, list[Output]]]:
        """Apply records one by one; return the rows that were written and everything that was sent."""
        keys: dict[bytes, None] = {}
        outputs: dict[TopicPartition, list[Output]] = {}
        for record in records:
            batch = Batch([record], replica.table, PARTITIONS)
            for each in batch:
                self._agents[replica.agent](each, batch)
            replica.table.apply(batch)
            keys |= dict.fromkeys(batch.rows)
            for partition, sent in published(batch).items():
                outputs.setdefault(partition, []).extend(sent)
        return {key: replica.table.get(key) for key in keys}, outputs

    def _fold(self, replica: Replica, written: Sequence[ConsumerRecord]) -> None:
        for record in written:
            if record.value is None:
                replica.changelog_rows.pop(record.key, None)
            else:
                replica.changelog_rows[record.key] = record.value
        replica.changelog_end = written[-1].offset + 1

    def _check_owners(self, replica: Replica, rows: dict[bytes, bytes | None]) -> None:
        """Every identifier has one live owner, who says the same; and note the ids that came up."""
        for key, data in rows.items():
            if data is None:
                continue
            which, row = decode_identity_key(key), decode_identity_row(data)
            if isinstance(which, ContactKey):
                _note(self.contact_ids, which.tenant, which.contact_id)
            elif isinstance(which, ConversationOwnerKey):
                _note(self.conversation_ids, which.tenant, which.conversation_id)
            if isinstance(row, Owner):
                owner = _contact(replica, which.tenant, row.contact_id)
                if isinstance(which, IdentifierKey):
                    assert (which.kind, which.value) in _held(owner), f"{which} is not held by its owner"
            if isinstance(row, Contact):
                for kind, value in _held(row):
                    held = _join(which.tenant, "identifier", kind, value)
                    found = decode_identity_row(replica.table.rows[held])
                    assert found == Owner(contact_id=row.id), f"{kind} of {row.id} leads to {found}"


def published(batch: Batch) -> dict[TopicPartition, list[Output]]:
    """Return everything that the batch sends, answers too."""
    sent = {partition: list(outputs) for partition, outputs in batch.outputs.items()}
    for place, answers in batch.answers.items():
        assert place is not None, "an answer to a topic that nobody knows"
        sent.setdefault(place, []).extend(answer.output for answer in answers)
    return sent


def _contact(replica: Replica, tenant: str, contact_id: str) -> Contact:
    row = decode_identity_row(replica.table.rows[_join(tenant, "contact", contact_id)])
    assert isinstance(row, Contact), f"{contact_id} owns something and is {row}"
    return row


def _held(contact: Contact) -> list[tuple[str, str]]:
    return [(identifier.kind, identifier.value) for identifier in held_identifiers(contact)]


def _join(*parts: str) -> bytes:
    return "\x1f".join(parts).encode()


def _note(ids: dict[str, list[str]], tenant: str, name: str) -> None:
    known = ids.setdefault(tenant, [])
    if name not in known:
        known.append(name)


def _output(record: ConsumerRecord) -> Output:
    return (record.key, record.value, tuple(record.headers))


def _comparable(outputs: dict[TopicPartition, list[Output]]) -> dict[TopicPartition, list[object]]:
    """Return outputs as they can be compared: without what intake and dead letters are stamped with."""
    return {
        partition: [_without_stamps(partition.topic, *output) for output in sent] for partition, sent in outputs.items()
    }


def _without_stamps(topic: str, key: bytes | None, value: bytes | None, headers: Iterable[Any]) -> object:
    if topic == NAMES.dead_letters:
        return key, value, tuple(header for header in headers if header[0] != DEAD_LETTER_TIME)
    if topic == NAMES.identity_commands:
        assert value is not None
        command = decode_log_value(value)
        if not isinstance(command, ConversationSeen):
            command = replace(command, accepted_at_ms=0)
        return (
            key,
            replace(command, new_id=ConversationId("")) if isinstance(command, Identify) else command,
            tuple(headers),
        )
    return key, value, tuple(headers)
