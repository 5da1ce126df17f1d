"""Rows of Airy's contacts as the log has them: the rows of one contact, its tombstones, and a table to tell them to."""

from collections.abc import Iterable, Mapping

from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.commands import Command, ContactRowReceived, Observation
from airy_identify.core.decide import observe
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import (
    AiryContact,
    AiryFact,
    AirySource,
    ConversationId,
    GoneKey,
    IdentityRow,
)
from tests.builders import (
    ACCEPTED_AT_MS,
    TENANT,
    make_airy_identifiers,
    make_fact,
    make_identify_command,
    make_row_received,
    make_tombstone,
)
from tests.tables import InMemoryIdentityTable

OWN_CHAT = ConversationId("11111111-1111-4111-8111-111111111111")


def facts(
    *,
    created_at: int | None = 1_000,
    name: str | None = None,
    avatar: str | None = None,
    external_id: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    chats: Mapping[str, str] | Iterable[str] = (),
    merged: Iterable[AirySource] = (),
) -> list[AiryFact]:
    """Return what the rows of a contact say; chats without a source are chat-plugin ones."""
    found = []
    if created_at is not None:
        found.append(make_fact("created_at", at_ms=created_at))
    if name is not None:
        found.append(make_fact("displayName", name))
    if avatar is not None:
        found.append(make_fact("avatarUrl", avatar))
    for key, given in (
        ("via.external_id", {"external_id": external_id}),
        ("via.email", {"email": email}),
        ("via.phone", {"phone_number": phone}),
    ):
        if any(given.values()):
            found.append(make_fact(key, identifiers=make_airy_identifiers(**given)))
    sources = chats if isinstance(chats, Mapping) else dict.fromkeys(chats, "chatplugin")
    found += [make_fact(f"conversations.{chat}", source) for chat, source in sources.items()]
    if merged:
        found.append(make_fact("mergeHistory", merged=tuple(merged)))
    return found


def rows(contact_id: str, told: Iterable[AiryFact], **over: object) -> list[ContactRowReceived]:
    """Return the rows that say this of a contact."""
    return [make_row_received(contact_id, fact, **over) for fact in told]


def tombstones(contact_id: str, told: Iterable[AiryFact], **over: object) -> list[ContactRowReceived]:
    """Return the tombstones of rows that said this of a contact."""
    return [make_tombstone(contact_id, fact.key, **over) for fact in told]


class AiryTable(InMemoryIdentityTable):
    """A table that is told what Airy has as well, and asked."""

    def __init__(self) -> None:
        super().__init__()
        self.erased: list[ConversationId] = []

    def tell(self, *observed: Observation) -> None:
        for each in observed:
            decision = observe(each, self, offset=self.offset)
            self.offset += 1
            self.keep(decision)

    def apply(self, command: Command) -> Decision | Rejected:
        decision = super().apply(command)
        if isinstance(decision, Decision):
            self.erased += decision.forgotten
        return decision

    def keep(self, decision: Decision) -> None:
        assert len({key for key, _ in decision.writes}) == len(decision.writes), "a key is written twice"
        for key, row in decision.writes:
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self.erased += decision.forgotten

    def add(self, contact_id: str, **told: object) -> list[AiryFact]:
        """Tell the rows of a contact, and return what they say."""
        said = facts(**told)  # type: ignore[arg-type]
        self.tell(*rows(contact_id, said))
        return said

    def identify(self, **given: object) -> ResumeSlip:
        command = make_identify_command(**{"new_id": OWN_CHAT} | given)
        decision = self.apply(command)
        assert isinstance(decision, Decision), decision
        assert isinstance(decision.slip, ResumeSlip)
        return decision.slip

    @property
    def airys(self) -> dict[str, AiryContact]:
        return {row.id: row for row in self.rows.values() if isinstance(row, AiryContact)}

    def gone(self, contact_id: str) -> IdentityRow | None:
        return self.rows.get(GoneKey(tenant=TENANT, contact_id=contact_id))  # type: ignore[arg-type]


DAY_LATER_MS = ACCEPTED_AT_MS + 24 * 60 * 60 * 1000
