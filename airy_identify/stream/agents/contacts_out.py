"""Writes contacts to Airy's contacts topic, in the transactions of the shard that changes them.

Rows of the table never depend on it: the same log gives the same table, whether Airy is told or not.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from airy_identify.core.contacts_out import AiryRow
from airy_identify.core.values import TenantId
from airy_identify.stream.batch import Batch
from airy_identify.wire.contacts_out import METADATA, encode_row
from airy_identify.wire.answers import SchemaIds


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsOut:
    """Where rows go. `tenant` is the one whose contacts Airy has; `schema_ids` has the registry's id of `METADATA`."""

    topic: str
    tenant: TenantId
    schema_ids: SchemaIds

    def send(self, batch: Batch, rows: Iterable[AiryRow]) -> None:
        """Publish rows in this order. Each goes to the partition that Airy's own producers give its key."""
        schema_id = self.schema_ids[METADATA]
        for row in rows:
            key, value, headers = encode_row(row, schema_id)
            batch.send(self.topic, key, value, headers)
