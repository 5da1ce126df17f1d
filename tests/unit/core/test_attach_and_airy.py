"""The token of a conversation that somebody has in Airy, but nobody here."""

from typing import Any

import pytest

from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.ids import from_name
from airy_identify.core.reasons import WarningCode
from airy_identify.core.values import AliasKey, Contact, ContactId, ContactKey, ConversationId, IdentityKey, Owner
from tests.airy_rows import AiryTable
from tests.builders import (
    OTHER_CHANNEL_ID,
    TENANT,
    make_attach,
    make_contact,
    make_conversation_seen,
    make_identify_command,
)

PERSON = "aaaaaaaa-0000-4000-8000-000000000001"
CHAT = ConversationId("cccccccc-0000-4000-8000-000000000003")
OTHER_CHAT = "dddddddd-0000-4000-8000-000000000004"
MADE_BY_AIRY = ContactId(from_name(CHAT))


def log_in(table: AiryTable, **over: Any) -> ResumeSlip:
    fields = {"external_id": "u-1", "attach": make_attach(CHAT)} | over
    decision = table.apply(make_identify_command(**fields))
    assert isinstance(decision, Decision)
    assert isinstance(decision.slip, ResumeSlip)
    return decision.slip


def codes(slip: ResumeSlip) -> list[WarningCode]:
    return [warning.code for warning in slip.warnings]


def stored(table: AiryTable, contact_id: str) -> Contact | None:
    row = table.rows.get(ContactKey(tenant=TENANT, contact_id=ContactId(contact_id)))
    assert row is None or isinstance(row, Contact)
    return row


def alias_of(table: AiryTable, contact_id: ContactId) -> str | None:
    key: IdentityKey = AliasKey(tenant=TENANT, contact_id=contact_id)
    row = table.rows.get(key)
    return row.contact_id if isinstance(row, Owner) else None


@pytest.mark.parametrize("claim", [{"email": "a@b.cd"}, {"phone": "+491"}, {"external_id": "u-2"}], ids=str)
def test_a_chat_that_somebody_known_has_in_airy_is_not_attached(claim: dict[str, str]) -> None:
    table = AiryTable()
    table.add(PERSON, chats=[CHAT], **claim)
    slip = log_in(table)
    assert codes(slip) == [WarningCode.CONVERSATION_NOT_ATTACHED]
    assert CHAT not in [each.id for each in slip.pending]
    assert slip.created_conversation


def test_the_contact_that_airy_made_for_it_becomes_an_alias() -> None:
    table = AiryTable()
    log_in(table, attach=None)
    table.add(MADE_BY_AIRY, name="Chatplugin 00003", chats=[CHAT])
    table.tell(make_conversation_seen(conversation_id=CHAT, created_at_ms=1_234))
    slip = log_in(table)
    assert codes(slip) == []
    (attached,) = [each for each in slip.pending if each.id == CHAT]
    assert attached.created_at_ms == 1_234
    assert alias_of(table, MADE_BY_AIRY) == slip.contact.id
    assert stored(table, MADE_BY_AIRY) is None


def test_whoever_is_new_gets_the_id_of_the_contact_that_airy_made() -> None:
    table = AiryTable()
    table.add(MADE_BY_AIRY, name="Chatplugin 00003", chats=[CHAT])
    slip = log_in(table)
    assert (codes(slip), slip.contact.id, slip.created_contact) == ([], MADE_BY_AIRY, True)
    found = stored(table, MADE_BY_AIRY)
    assert found is not None
    assert [each.id for each in found.conversations] == [CHAT]
    assert alias_of(table, MADE_BY_AIRY) is None


@pytest.mark.parametrize("more", [{"chats": [CHAT, OTHER_CHAT]}, {"chats": [CHAT], "email": None}], ids=str)
def test_a_contact_of_airy_with_more_than_the_chat_stays_somebody_else(more: dict[str, Any]) -> None:
    table = AiryTable()
    log_in(table, attach=None)
    table.add(MADE_BY_AIRY, **more)
    assert codes(log_in(table)) == []
    assert (alias_of(table, MADE_BY_AIRY) is None) is (OTHER_CHAT in more["chats"])


def test_a_contact_that_airy_made_and_that_is_ours_by_now_stays_somebody_else() -> None:
    table = AiryTable()
    log_in(table, attach=None)
    table.add(MADE_BY_AIRY, chats=[CHAT])
    ours = make_contact(id=MADE_BY_AIRY)
    table.rows[ContactKey(tenant=TENANT, contact_id=MADE_BY_AIRY)] = ours
    slip = log_in(table)
    assert codes(slip) == []
    assert CHAT in [each.id for each in slip.pending]
    assert alias_of(table, MADE_BY_AIRY) is None
    assert stored(table, MADE_BY_AIRY) == ours


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_chat_that_the_person_has_in_airy_is_theirs_once(*, is_seen: bool) -> None:
    table = AiryTable()
    table.add(PERSON, email="a@b.cd", chats=[CHAT])
    if is_seen:
        table.tell(make_conversation_seen(conversation_id=CHAT, created_at_ms=1_234))
    for _ in range(2):
        slip = log_in(table, external_id=None, email="a@b.cd")
        assert (codes(slip), slip.contact.id) == ([], PERSON)
        assert [each.id for each in slip.pending] == [CHAT]
        assert not slip.created_conversation
    found = stored(table, PERSON)
    assert found is not None
    assert [each.id for each in found.conversations] == [CHAT]


def test_a_chat_that_is_known_to_be_on_another_channel_is_not_attached() -> None:
    table = AiryTable()
    table.tell(make_conversation_seen(conversation_id=CHAT, channel_id=OTHER_CHANNEL_ID, created_at_ms=1))
    assert codes(log_in(table)) == [WarningCode.CONVERSATION_NOT_ATTACHED]


def test_leftover_rows_of_somebody_deleted_have_no_chat() -> None:
    table = AiryTable()
    table.add(PERSON, created_at=None, email="a@b.cd", chats=[CHAT])
    assert codes(log_in(table)) == []
