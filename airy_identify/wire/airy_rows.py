"""What is known from Airy as bytes: the rows of `contact-identity` that hold it, and the facts in commands."""

from collections.abc import Mapping
from typing import Any

from airy_identify.core.values import (
    AiryClaims,
    AiryContact,
    AiryFact,
    AiryIdentifiers,
    AiryRecord,
    AirySource,
    ChannelId,
    ContactId,
    GoneQueue,
    SeenConversation,
)
from airy_identify.wire import fragments, schemas
from airy_identify.wire.schemas import Datum

FACT = "airy_identify.AiryFact"
AIRY_CONTACT_ROW = "airy_identify.AiryContactRow"
AIRY_RECORD_ROW = "airy_identify.AiryRecordRow"
AIRY_CLAIMS_ROW = "airy_identify.AiryClaimsRow"
SEEN_CONVERSATION_ROW = "airy_identify.SeenConversationRow"
GONE_QUEUE_ROW = "airy_identify.GoneQueueRow"
_IDENTIFIERS = "airy_identify.AiryIdentifiers"

Row = AiryContact | AiryRecord | AiryClaims | SeenConversation | GoneQueue


def encode_airy_row(row: Row) -> bytes:
    """Return the row in single-object encoding."""
    match row:
        case AiryContact():
            datum: Datum = {"id": row.id, "facts": [fact_datum(fact) for fact in row.facts]}
            return schemas.encode(AIRY_CONTACT_ROW, datum)
        case AiryRecord():
            return schemas.encode(AIRY_RECORD_ROW, {"contact_id": row.contact_id, "key": row.key})
        case AiryClaims():
            return schemas.encode(AIRY_CLAIMS_ROW, {"contact_ids": list(row.contact_ids)})
        case SeenConversation():
            datum = {"channel_id": row.channel_id, "source": row.source, "created_at_ms": row.created_at_ms}
            return schemas.encode(SEEN_CONVERSATION_ROW, datum)
        case GoneQueue():
            return schemas.encode(GONE_QUEUE_ROW, {"first": row.first, "last": row.last})


def read_airy_row(name: str, datum: Mapping[str, Any]) -> Row | None:
    """Return the row of a record with this name, null when it is none of these."""
    if name == AIRY_CONTACT_ROW:
        facts = tuple(read_fact(fact) for fact in datum["facts"])
        return AiryContact(id=ContactId(datum["id"]), facts=facts)
    if name == AIRY_RECORD_ROW:
        return AiryRecord(contact_id=ContactId(datum["contact_id"]), key=datum["key"])
    if name == AIRY_CLAIMS_ROW:
        return AiryClaims(contact_ids=tuple(ContactId(each) for each in datum["contact_ids"]))
    if name == SEEN_CONVERSATION_ROW:
        return SeenConversation(
            channel_id=ChannelId(datum["channel_id"]), source=datum["source"], created_at_ms=datum["created_at_ms"]
        )
    if name == GONE_QUEUE_ROW:
        return GoneQueue(first=ContactId(datum["first"]), last=ContactId(datum["last"]))
    return None


def fact_datum(fact: AiryFact) -> Datum:
    """Return the datum of `AiryFact`."""
    identifiers = None if fact.identifiers is None else (_IDENTIFIERS, _identifiers_datum(fact.identifiers))
    return {
        "key": fact.key,
        "text": fact.text,
        "at_ms": fact.at_ms,
        "identifiers": identifiers,
        "merged": [_source_datum(source) for source in fact.merged],
        "own": fact.own,
    }


def read_fact(datum: Mapping[str, Any]) -> AiryFact:
    """Return the value of an `AiryFact` datum."""
    identifiers = datum["identifiers"]
    return AiryFact(
        key=datum["key"],
        text=datum["text"],
        at_ms=datum["at_ms"],
        identifiers=None if identifiers is None else _read_identifiers(identifiers),
        merged=tuple(_read_source(source) for source in datum["merged"]),
        own=datum["own"],
    )


def _source_datum(source: AirySource) -> Datum:
    identifiers = _identifiers_datum(source.identifiers)
    return {"id": source.id, "created_at_ms": source.created_at_ms, "identifiers": identifiers}


def _read_source(datum: Mapping[str, Any]) -> AirySource:
    return AirySource(
        id=ContactId(datum["id"]),
        created_at_ms=datum["created_at_ms"],
        identifiers=_read_identifiers(datum["identifiers"]),
    )


def _identifiers_datum(identifiers: AiryIdentifiers) -> Datum:
    return {
        "external_id": identifiers.external_id,
        "email": fragments.email_datum(identifiers.email),
        "phone_number": fragments.phone_number_datum(identifiers.phone_number),
    }


def _read_identifiers(datum: Mapping[str, Any]) -> AiryIdentifiers:
    return AiryIdentifiers(
        external_id=datum["external_id"],
        email=fragments.read_email(datum["email"]),
        phone_number=fragments.read_phone_number(datum["phone_number"]),
    )
