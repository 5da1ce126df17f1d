from airy_identify.core.ids import from_name
from airy_identify.core.values import ConversationId, TenantId
from airy_identify.kafka import partition_for
from airy_identify.stream.agents.contacts_out import ContactsOut
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.airy import METADATA, decode_contact_row
from airy_identify.wire.commands import encode_command
from tests.builders import TENANT, make_identify_command
from tests.records import make_record

NAMES = TopicNames()
PARTITIONS = 10
COUNTS = {NAMES.conversation_commands: 4, NAMES.responses: 4, NAMES.airy_contacts: PARTITIONS}
CHAT = ConversationId("91b0f8a6-0000-4000-8000-000000000001")


def agent(tenant: TenantId | None) -> IdentityAgent:
    """Return the agent, which tells Airy of the contacts of a tenant, or of none."""
    out = None
    if tenant is not None:
        out = ContactsOut(topic=NAMES.airy_contacts, tenant=tenant, schema_ids={METADATA: 258})
    return IdentityAgent(names=NAMES, conversation_partitions=4, contacts_out=out)


def identified(tenant: TenantId | None) -> Batch:
    command = make_identify_command(external_id="u1", new_id=CHAT)
    batch = Batch([make_record(value=encode_command(command))], {}, COUNTS)
    for record in batch:
        agent(tenant).process(record, batch)
    return batch


def test_a_new_contact_is_written_where_airys_own_producers_would_write_it() -> None:
    batch = identified(TENANT)
    found = {}
    for place, outputs in batch.outputs.items():
        for key, value, _ in outputs:
            if place.topic == NAMES.airy_contacts:
                assert key is not None
                assert value is not None
                assert value[:5] == b"\x00\x00\x00\x01\x02"
                assert place.partition == partition_for(key, PARTITIONS)
                row = decode_contact_row(value)
                assert key.decode() == from_name(row.key, namespace=row.subject)
                found[row.key] = row.value
    assert set(found) == {"displayName", "created_at", "via.external_id", f"conversations.{CHAT}"}


def test_other_tenants_and_nobody_at_all_are_not_written() -> None:
    for tenant in (TenantId("another"), None):
        assert NAMES.airy_contacts not in {place.topic for place in identified(tenant).outputs}


def test_the_rows_of_the_table_do_not_depend_on_it() -> None:
    assert identified(TENANT).rows == identified(None).rows
