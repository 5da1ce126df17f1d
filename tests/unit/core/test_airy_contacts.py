from airy_identify.core.airy_facts import CLAIMS_MAX, CONVERSATIONS_MAX
from airy_identify.core.answers import ContactChanged, Decision, ResumeSlip
from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.ids import from_name
from airy_identify.core.levels import level_of
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    AiryClaimKey,
    AiryClaims,
    AiryContactKey,
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    Forgotten,
    Level,
    Owner,
    SeenConversationKey,
)
from tests.airy_rows import OWN_CHAT, AiryTable, facts, rows, tombstones
from tests.builders import (
    OTHER_CHANNEL_ID,
    TENANT,
    make_airy_source,
    make_conversation_seen,
    make_fact,
    make_forget,
    make_identify_command,
    make_info,
    make_merge,
    make_release,
    make_row_received,
    make_seen_conversation,
    make_tombstone,
    make_unmerge,
)

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"
CHAT = "cccccccc-0000-4000-8000-000000000003"


def stored(table: AiryTable, contact_id: str) -> Contact:
    (found,) = [contact for contact in table.contacts if contact.id == contact_id]
    return found


def test_a_contact_made_in_airy_is_found_by_what_it_can_be_reached_by() -> None:
    for given in ({"email": "a@b.cd"}, {"phone": "+491"}, {"external_id": "u1"}):
        table = AiryTable()
        table.add(A, **given)
        asked = {"phone_number": given["phone"]} if "phone" in given else given
        slip = table.identify(**asked)
        assert (slip.contact.id, slip.created_contact, slip.contact.unverified) == (A, False, ())
        assert level_of(stored(table, A)) is (Level.HARD if "external_id" in given else Level.KNOWN)
        assert stored(table, A).created_at_ms == 1_000


def test_it_is_found_whichever_row_comes_first() -> None:
    said = facts(email="a@b.cd", name="Ada")
    for order in (said, said[::-1]):
        table = AiryTable()
        table.tell(*rows(A, order))
        slip = table.identify(email="a@b.cd")
        assert (slip.contact.id, slip.contact.display_name) == (A, "Ada")


def test_nothing_is_written_before_somebody_is_identified() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    assert table.contacts == []
    table.apply(make_info(contact_id=None, identifier=("email", "a@b.cd")))
    dry = table.identify(email="a@b.cd", dry_run=True)
    assert (dry.contact.id, table.contacts) == (A, [])


def test_leftover_rows_are_nobody() -> None:
    table = AiryTable()
    table.add(A, created_at=None, name="Chatplugin 123", email="a@b.cd")
    assert table.identify(email="a@b.cd").created_contact
    info = table.apply(make_info(contact_id=A, identifier=None))
    assert isinstance(info, Rejected)
    assert info.reason is Reason.UNKNOWN_CONTACT


def test_what_a_contact_of_ours_has_is_not_claimed_by_another_of_airy() -> None:
    table = AiryTable()
    mine = table.identify(email="a@b.cd").contact.id
    table.add(A, email="a@b.cd", phone="+491")
    assert table.identify(email="a@b.cd").contact.id == mine
    slip = table.identify(phone_number="+491")
    assert (slip.contact.id, slip.contact.email, slip.warnings) == (A, None, ())


def test_of_several_that_claim_one_the_oldest_living_has_it() -> None:
    for first, second in ((A, B), (B, A)):
        table = AiryTable()
        table.add(first, created_at=2_000, email="a@b.cd", phone="+491")
        table.add(second, created_at=1_000, email="a@b.cd")
        assert table.identify(email="a@b.cd").contact.id == second
        slip = table.identify(phone_number="+491")
        assert (slip.contact.id, slip.contact.email) == (first, None)


def test_of_those_created_at_one_time_the_smaller_id_has_it() -> None:
    table = AiryTable()
    table.add(B, email="a@b.cd")
    table.add(A, email="a@b.cd")
    assert table.identify(email="a@b.cd").contact.id == A


def test_the_next_one_has_it_when_the_oldest_is_deleted_in_airy() -> None:
    table = AiryTable()
    said = table.add(A, created_at=1, email="a@b.cd")
    table.add(B, created_at=2, email="a@b.cd")
    table.tell(*tombstones(A, said))
    assert table.airys.keys() == {B}
    assert table.identify(email="a@b.cd").contact.id == B


def test_what_airy_says_later_of_a_contact_of_ours_changes_nothing_but_names() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.identify(email="a@b.cd")
    table.tell(*rows(A, facts(email="new@b.cd", phone="+491", name="Ada")))
    slip = table.identify(email="a@b.cd")
    assert (slip.contact.email, slip.contact.phone_number, slip.contact.display_name) == ("a@b.cd", None, "Ada")
    assert table.identify(email="new@b.cd").created_contact
    assert table.identify(phone_number="+491").created_contact


def test_a_released_e_mail_does_not_come_back_with_rows_of_airy() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd")
    table.identify(email="a@b.cd")
    table.apply(make_release(A, "email", "a@b.cd"))
    table.tell(*rows(A, said))
    assert table.identify(email="a@b.cd").contact.id != A


def test_a_soft_contact_of_airy_ends_in_the_account_that_names_its_e_mail() -> None:
    table = AiryTable()
    hard = table.identify(external_id="u1").contact.id
    table.add(A, email="a@b.cd", name="Ada")
    slip = table.identify(external_id="u1", email="a@b.cd")
    assert (slip.contact.id, slip.merged, slip.contact.display_name) == (hard, (A,), "Ada")
    assert table.rows[AliasKey(tenant=TENANT, contact_id=A)] == Owner(contact_id=hard)  # type: ignore[arg-type]
    back = table.apply(make_unmerge(A))
    assert isinstance(back, Decision)
    assert table.holder("email", "a@b.cd") == A


def test_in_a_conflict_a_contact_of_airy_stays_where_it_is() -> None:
    table = AiryTable()
    table.add(A, external_id="u2", email="a@b.cd")
    slip = table.identify(external_id="u1", email="a@b.cd")
    assert [warned.field for warned in slip.warnings] == ["email"]
    assert [contact.external_id for contact in table.contacts] == ["u1"]
    assert table.identify(external_id="u2").contact.email == "a@b.cd"


def test_commands_take_contacts_that_live_in_airy_only() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(B, phone="+491")
    merged = table.apply(make_merge(A, B))
    assert isinstance(merged, Decision)
    assert isinstance(merged.answer, ContactChanged)
    assert (merged.answer.contact.id, merged.answer.contact.email) == (B, "a@b.cd")
    assert [contact.id for contact in table.contacts] == [B]
    released = table.apply(make_release(B, "email", "a@b.cd"))
    assert isinstance(released, Decision)
    assert stored(table, B).email is None
    assert isinstance(table.apply(make_unmerge(A)), Decision)
    assert {contact.id for contact in table.contacts} == {A, B}


def test_a_command_that_releases_from_airy_only_makes_the_contact_ours() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", phone="+491")
    table.apply(make_release(A, "email", "a@b.cd"))
    assert (stored(table, A).email, table.holder("phone_number", "+491")) == (None, A)
    assert table.holder("email", "a@b.cd") is None
    assert table.identify(email="a@b.cd").created_contact


# Conversations


def test_chats_of_a_contact_are_resumed_once_their_channel_is_known() -> None:
    for chat_first in (False, True):
        table = AiryTable()
        seen = make_conversation_seen(CHAT, created_at_ms=77)
        if chat_first:
            table.tell(seen)
        table.add(A, email="a@b.cd", chats=[CHAT])
        if not chat_first:
            table.tell(seen)
        slip = table.identify(email="a@b.cd")
        assert [(each.id, each.created_at_ms) for each in slip.pending] == [(CHAT, 77)]
        assert not slip.created_conversation
        owner = table.rows[ConversationOwnerKey(tenant=TENANT, conversation_id=CHAT)]  # type: ignore[arg-type]
        assert owner == Owner(contact_id=A)  # type: ignore[arg-type]
        assert SeenConversationKey(tenant=TENANT, conversation_id=CHAT) not in table.rows  # type: ignore[arg-type]


def test_a_chat_whose_channel_is_not_known_or_another_does_not_count() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", chats=[CHAT])
    table.tell(make_conversation_seen(CHAT, channel_id=OTHER_CHANNEL_ID))
    slip = table.identify(email="a@b.cd")
    assert [each.id for each in slip.pending] == [OWN_CHAT]
    assert {each.channel_id for each in stored(table, A).conversations} == {
        slip.pending[0].channel_id,
        OTHER_CHANNEL_ID,
    }


def test_a_facebook_conversation_is_not_listed() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", chats={CHAT: "facebook"})
    table.tell(make_conversation_seen(CHAT))
    assert [each.id for each in table.identify(email="a@b.cd").pending] == [OWN_CHAT]


def test_a_chat_that_comes_later_follows() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.identify(email="a@b.cd")
    table.tell(make_fact_row(A, CHAT), make_conversation_seen(CHAT))
    assert {each.id for each in table.identify(email="a@b.cd").pending} == {CHAT, OWN_CHAT}
    assert {each.id for each in stored(table, A).conversations} == {CHAT, OWN_CHAT}


def make_fact_row(contact_id: str, chat: str) -> ContactRowReceived:
    return make_row_received(contact_id, make_fact(f"conversations.{chat}", "chatplugin"))


def test_a_chat_of_somebody_here_does_not_move_with_rows_of_airy() -> None:
    table = AiryTable()
    mine = table.identify(external_id="u1").contact.id
    table.add(A, email="a@b.cd", chats=[OWN_CHAT])
    table.tell(make_conversation_seen(OWN_CHAT))
    seen = SeenConversationKey(tenant=TENANT, conversation_id=OWN_CHAT)
    assert seen not in table.rows
    table.rows[seen] = make_seen_conversation()  # it would not help either
    slip = table.identify(email="a@b.cd", new_id="22222222-2222-4222-8222-222222222222")
    assert OWN_CHAT not in {each.id for each in slip.pending}
    owner = table.rows[ConversationOwnerKey(tenant=TENANT, conversation_id=OWN_CHAT)]
    assert isinstance(owner, Owner)
    assert owner.contact_id == mine


def test_of_several_that_claim_a_chat_one_that_was_not_made_for_it_has_it() -> None:
    auto = from_name(CHAT)
    table = AiryTable()
    table.add(auto, created_at=1, email="auto@b.cd", chats=[CHAT])
    table.add(A, created_at=3, email="a@b.cd", chats=[CHAT])
    table.add(B, created_at=2, email="b@b.cd", chats=[CHAT])
    table.tell(make_conversation_seen(CHAT))
    held = {
        who: [each.id for each in table.identify(email=f"{who}@b.cd", dry_run=True).pending]
        for who in ("auto", "a", "b")
    }
    assert held == {"auto": [], "a": [], "b": [CHAT]}


def test_of_a_chat_told_twice_the_earlier_start_counts() -> None:
    for order in ((5, 9), (9, 5), (5, 5)):
        table = AiryTable()
        table.tell(*(make_conversation_seen(CHAT, created_at_ms=at) for at in order))
        row = table.rows[SeenConversationKey(tenant=TENANT, conversation_id=CHAT)]  # type: ignore[arg-type]
        assert row.created_at_ms == 5  # type: ignore[union-attr]


def test_airys_own_contact_of_a_chat_that_was_minted_here_is_our_contact() -> None:
    table = AiryTable()
    mine = table.identify(external_id="u1").contact.id
    assert mine == from_name(OWN_CHAT)
    table.add(mine, name="Chatplugin " + OWN_CHAT[31:], chats=[OWN_CHAT])
    assert table.identify(external_id="u1").contact.display_name is None
    table.tell(*rows(mine, facts(name="Ada", avatar="http://a")))
    contact = table.identify(external_id="u1", metadata={"display_name": "Other", "avatar_url": "b"}).contact
    assert (contact.id, contact.display_name, contact.avatar_url) == (mine, "Ada", "http://a")


def test_names_come_from_the_contact_first_then_from_its_aliases() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", avatar="http://a")
    table.add(B, phone="+491", name="Bea", avatar="http://b")
    table.apply(make_merge(B, A))
    contact = table.identify(email="a@b.cd").contact
    assert (contact.display_name, contact.avatar_url) == ("Bea", "http://a")


def test_what_this_service_wrote_is_no_news() -> None:
    table = AiryTable()
    said = facts(email="a@b.cd", name="Stale", chats=[CHAT], merged=[make_airy_source(B, email="b@b.cd")])
    table.tell(make_conversation_seen(CHAT), *rows(A, said, own=True))
    assert table.identify(email="a@b.cd").created_contact
    assert not [row for row in table.rows.values() if isinstance(row, AiryClaims)]
    own = table.identify(email="a@b.cd", metadata={"display_name": "New"}).contact
    table.tell(*rows(own.id or "", facts(name="Stale"), own=True))
    assert table.identify(email="a@b.cd").contact.display_name == "New"
    table.tell(*tombstones(own.id or "", facts(name="Stale"), own=True))
    assert table.identify(email="a@b.cd").contact.id == own.id


# Rows


def test_a_row_takes_the_place_of_the_one_before_and_an_equal_one_writes_nothing() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.add(A, email="b@b.cd")
    assert table.identify(email="a@b.cd", dry_run=True).created_contact
    assert table.identify(email="b@b.cd", dry_run=True).contact.id == A
    before = dict(table.rows)
    table.add(A, email="b@b.cd")
    assert table.rows == before


def test_tombstones_leave_nothing() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd", phone="+491", external_id="u1", chats=[CHAT], merged=[make_airy_source(B)])
    table.tell(*tombstones(A, said), make_tombstone(A, "never seen"))
    assert table.rows == {}


def test_a_key_that_stands_for_something_else_by_now_takes_the_old_fact_along() -> None:
    table = AiryTable()
    table.tell(make_row_received(A, make_fact("displayName", "Ada"), record_key="k"))
    table.tell(make_row_received(B, make_fact("displayName", "Bea"), record_key="k"))
    assert table.airys.keys() == {B}
    table.tell(make_row_received(B, make_fact("displayName", "Bea"), record_key="k2"))
    table.tell(make_row_received(None, None, record_key="k"))
    table.tell(make_row_received(None, None, record_key="k2"))
    assert table.rows == {}


def test_a_contact_keeps_so_many_conversations_and_a_claim_so_many_contacts() -> None:
    chats = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(CONVERSATIONS_MAX + 5)]
    table = AiryTable()
    table.add(A, email="a@b.cd", chats=chats[::-1])
    kept = [fact.key for fact in table.airys[A].facts if fact.key.startswith("conversations.")]
    assert kept == [f"conversations.{chat}" for chat in chats[:CONVERSATIONS_MAX]]
    table.tell(*(make_conversation_seen(chat) for chat in chats))
    table.identify(email="a@b.cd", channel_id=OTHER_CHANNEL_ID)
    assert len(stored(table, A).conversations) == CONVERSATIONS_MAX + 1
    ids = [f"{number:08x}-1111-4000-8000-000000000000" for number in range(CLAIMS_MAX + 5)]
    for contact_id in (*ids[::-1], "ffffffff-1111-4000-8000-000000000000"):
        table.tell(*rows(contact_id, facts(phone="+491")))
    claims = table.rows[AiryClaimKey(tenant=TENANT, kind="phone_number", value="+491")]
    assert claims == AiryClaims(contact_ids=tuple(ids[:CLAIMS_MAX]))  # type: ignore[arg-type]


# Forgotten here


def test_rows_under_keys_that_are_not_airys_are_erased_too_when_they_go_in_airy() -> None:
    table = AiryTable()
    table.tell(make_row_received(A, make_fact("created_at", at_ms=1), record_key="k"))
    table.apply(make_forget(A))
    table.tell(make_row_received(A, make_fact("created_at", at_ms=2), record_key="k"))
    assert table.rows == {ContactKey(tenant=TENANT, contact_id=ContactId(A)): Forgotten()}


def test_what_is_forgotten_here_leaves_nothing_and_is_not_revived_by_airy() -> None:
    table = AiryTable()
    said = table.add(A, email="a@b.cd", external_id="u1", name="Ada", chats=[CHAT])
    table.tell(make_conversation_seen(CHAT))
    table.identify(email="a@b.cd")
    table.apply(make_forget(A))
    assert set(map(type, table.rows.values())) == {Forgotten}
    before = dict(table.rows)
    table.tell(*rows(A, said), make_conversation_seen(CHAT), *rows(A, said))
    assert table.rows == before
    slip = table.identify(external_id="u1", new_id="22222222-2222-4222-8222-222222222222")
    assert (slip.created_contact, len(slip.pending)) == (True, 1)


def test_somebody_of_airy_only_can_be_forgotten() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", merged=[make_airy_source(B)])
    assert isinstance(table.apply(make_forget(B)), Decision)
    forgotten = {ContactKey(tenant=TENANT, contact_id=A), AliasKey(tenant=TENANT, contact_id=B)}  # type: ignore[arg-type]
    assert table.rows == dict.fromkeys(forgotten, Forgotten())
    assert table.identify(email="a@b.cd").created_contact


def test_a_row_of_somebody_forgotten_is_dropped_under_a_key_that_stood_for_somebody_else() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd")
    table.apply(make_forget(A))
    table.tell(make_row_received(B, make_fact("displayName", "Bea"), record_key="k"))
    table.tell(make_row_received(A, make_fact("displayName", "Ada"), record_key="k"))
    assert set(map(type, table.rows.values())) == {Forgotten}


def test_another_tenant_does_not_know_them() -> None:
    table = AiryTable()
    table.add(A, email="a@b.cd", external_id="u1")
    slip = table.identify(email="a@b.cd", tenant="other")
    assert slip.created_contact
    decision = table.apply(make_identify_command(email="a@b.cd", new_id=OWN_CHAT))
    assert isinstance(decision, Decision)
    assert isinstance(decision.slip, ResumeSlip)
    assert decision.slip.contact.id == A
    assert AiryContactKey(tenant=TENANT, contact_id=A) in table.rows  # type: ignore[arg-type]
