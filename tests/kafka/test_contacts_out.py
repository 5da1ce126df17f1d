"""Contacts written to Airy, on real Kafka with a real registry: the model of Airy reads the topic and does as Airy does."""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from airy_identify.core.ids import from_name
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.ops.schemas import register_schemas
from airy_identify.settings import Settings
from airy_identify.wire.headers import is_own_row
from tests.airy_contacts import AiryContacts, Row, Sent
from tests.kafka.conftest import create_all_topics, settings_of
from tests.kafka.foreign import ForeignWriter, foreign_value, published, with_java_strings
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.service import Service, poll, produce, put_channels

METADATA = published("AiryMetadata")
OTHER_CHANNEL = str(uuid.uuid4())


class AiryOnKafka:
    """Airy's contacts component on the topic of an installation: it reads uncommitted, and writes with its own schema."""

    def __init__(self, settings: Settings, registry: LocalRegistry) -> None:
        self.airy = AiryContacts()
        self.written = 0
        """How many records have been read."""
        self.values: set[bytes] = set()
        """Those that are no tombstones."""
        self._settings = settings
        self._registry = registry
        self._topic = settings.topic_names.airy_contacts
        self._positions: dict[int, int] = {}
        self._writer = ForeignWriter(settings, registry.url)

    async def catch_up(self) -> Mapping[str, Mapping[str, Row]]:
        """Read what is there, let everything settle, and return the contacts."""
        for record in await read(self._settings, self._topic, read_committed=False):
            if record.offset >= self._positions.get(record.partition, 0):
                self._positions[record.partition] = record.offset + 1
                self.written += 1
                self.values |= {record.key} if record.value is not None else set()
                self.airy.read(record.partition, record.key.decode(), self._row(record.value))
        self.airy.settle()
        return self.airy.contacts

    async def write(self, sent: list[Sent]) -> None:
        records = [(key.encode(), None if row is None else self._value(row), ()) for key, row in sent]
        await produce(self._settings, self._topic, *records)

    async def until(self, condition: Callable[[AiryContacts], bool], what: str) -> None:
        async def met() -> bool:
            await self.catch_up()
            return condition(self.airy)

        await poll(met, what)

    def _row(self, value: bytes | None) -> Row | None:
        if value is None:
            return None
        datum = foreign_value(self._registry.url, self._topic, value)
        return Row(datum["subject"], datum["key"], datum["value"], datum["timestamp"])

    def _value(self, row: Row) -> bytes:
        datum = {
            "subject": row.subject,
            "key": row.key,
            "value": row.value,
            "valueType": "text",
            "timestamp": row.timestamp,
        }
        return self._writer.serialize(self._topic, with_java_strings(METADATA), datum)


async def test_airy_has_one_contact_for_each_of_ours(
    broker: LocalKafka, registry: LocalRegistry, tmp_path: Path
) -> None:
    settings = settings_of(broker, tmp_path, schema_registry_url=registry.url, contacts_out=True)
    await create_all_topics(settings)
    await register_schemas(settings)
    worker, bridge = (ServiceProcess(command, settings, tmp_path) for command in ("worker", "web"))
    service = Service(settings, str(uuid.uuid4()), worker, bridge)
    await put_channels(settings, [service.channel, OTHER_CHANNEL])
    on_kafka = AiryOnKafka(settings, registry)
    airy = on_kafka.airy
    async with ended_afterwards(worker, bridge):
        worker.start()
        bridge.start()
        await worker.until_ready()
        await bridge.until_ready()

        # A new person is there whole, and stays one at the first message.
        metadata = {"display_name": "Ada L."}
        answer = await service.identify(external_id="u1", email="ada@example.org", metadata=metadata)
        ada, chat = answer["contact"]["id"], answer["conversations"][0]["id"]
        await on_kafka.until(lambda airy: ada in airy.contacts, "the contact does not come to Airy")
        assert {key: row.value for key, row in airy.contacts[ada].items() if key != "created_at"} == {
            "displayName": "Ada L.",
            "via.external_id": "u1",
            "via.email": "ada@example.org",
            f"conversations.{chat}": "chatplugin",
        }
        assert airy.message(chat) == []

        # A request that changes nothing writes nothing.
        written = on_kafka.written
        await service.identify(external_id="u1", email="ada@example.org", metadata=metadata)
        await on_kafka.catch_up()
        assert on_kafka.written == written

        # Airy is quicker than the row of a new conversation: the second contact goes again.
        answer = await service.identify(external_id="u1", channel_id=OTHER_CHANNEL)
        second_chat = answer["conversations"][0]["id"]
        second = airy.message(second_chat)
        assert {row.contact_id for _, row in second if row is not None} == {from_name(second_chat)}
        await on_kafka.write(second)
        # The repair may be quicker than this reader: then it has seen the second contact come and go at once.
        sent = {key.encode() for key, _ in second}
        await on_kafka.until(lambda _: sent <= on_kafka.values, "there is no second contact to repair")
        await on_kafka.until(
            lambda airy: (
                list(airy.contacts) == [ada]
                and airy.info(conversation_id=second_chat) == airy.info(contact_id=ada)
                and len(airy.info(contact_id=ada).conversations) == 2  # type: ignore[union-attr]
            ),
            "the second contact is not repaired",
        )
        assert airy.message(second_chat) == []

        # Somebody ends in another, and is forgotten.
        answer = await service.identify(email="other@example.org")
        other, third_chat = answer["contact"]["id"], answer["conversations"][0]["id"]
        await on_kafka.until(lambda airy: other in airy.contacts, "the other contact does not come to Airy")
        merged = f'{{"source_id": "{other}", "destination_id": "{ada}"}}'.encode()
        assert (await service.post(merged, path="/identities.merge"))[0] == 200
        await on_kafka.until(
            lambda airy: (
                list(airy.contacts) == [ada] and airy.info(conversation_id=third_chat) == airy.info(contact_id=ada)
            ),
            "the merge does not come to Airy",
        )
        assert (await service.post(f'{{"contact_id": "{ada}"}}'.encode(), path="/identities.forget"))[0] == 200
        await on_kafka.until(lambda airy: airy.contacts == {}, "somebody forgotten is left over in Airy")

    records = await read(settings, settings.topic_names.airy_contacts, read_committed=False)
    assert sum(not is_own_row(record.headers) for record in records) == len(second)
