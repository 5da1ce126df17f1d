"""The real agents, as a worker has them, and an oracle's own copies of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from airy_identify.core.values import ConversationId
from airy_identify.intake.policy import IntakePolicy, Stamp
from airy_identify.stream.agents.conversation import ConversationAgent
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.agents.intake import IntakeAgent
from airy_identify.stream.agents.messages import MessagesAgent
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.app import Process
from airy_identify.stream.shard_parts import ShardSpec
from airy_identify.topics import CONVERSATION, IDENTITY, INTAKE, MESSAGES, TopicNames
from airy_identify.wire.resume_token import ResumeTokenSigner
from tests.builders import make_channel, make_channels
from tests.simulation.inputs import CHANNEL_TENANTS, CHANNELS, CLOSED_CHANNEL_ID

NAMES = TopicNames()
GENERATIONS_MAX = 6
"""How many changelogs a table may have here: topics are made beforehand."""
PARTITIONS = {
    NAMES.requests: 1,
    NAMES.airy_messages: 1,
    NAMES.identity_commands: 2,
    NAMES.conversation_commands: 2,
    NAMES.responses: 2,
    NAMES.bridge_responses: 1,
    NAMES.dead_letters: 1,
    NAMES.changelog(INTAKE): 1,
    NAMES.changelog(MESSAGES): 1,
    NAMES.generations: 1,
    NAMES.skips: 1,
} | {NAMES.changelog(table, each): 2 for table in (IDENTITY, CONVERSATION) for each in range(1, GENERATIONS_MAX + 1)}
LOGS = {
    INTAKE: NAMES.requests,
    MESSAGES: NAMES.airy_messages,
    IDENTITY: NAMES.identity_commands,
    CONVERSATION: NAMES.conversation_commands,
}
SPECS = tuple(
    ShardSpec(
        agent=agent,
        log=log,
        changelog=NAMES.changelog(agent),
        needs_whole_log=agent in {IDENTITY, CONVERSATION},
        compacted=agent == MESSAGES,
    )
    for agent, log in LOGS.items()
)
POLICY = IntakePolicy(channel_tenants=CHANNEL_TENANTS)
DIRECTORY = make_channels(
    *(make_channel(id=channel) for channels in CHANNELS.values() for channel in channels),
    make_channel(id=CLOSED_CHANNEL_ID, connected=False),
)
SIGNER = ResumeTokenSigner(bytes(32))


@dataclass(frozen=True, slots=True)
class Stamps:
    """Times and random ids for requests: never twice the same, not even for a request that is processed again."""

    dice: random.Random
    now_ms: Callable[[], int]

    def make(self) -> Stamp:
        return Stamp(accepted_at_ms=self.now_ms(), new_id=ConversationId(f"{self.dice.getrandbits(128):032x}"))


class _Uncounted:
    def dead_lettered(self, code: str) -> None:
        pass


def make_agents(stamps: Stamps) -> dict[str, Process]:
    """Return what each agent does with a record."""
    dead_letters = DeadLetters(
        topic=NAMES.dead_letters, partitions=PARTITIONS[NAMES.dead_letters], metrics=_Uncounted()
    )
    conversation_partitions = PARTITIONS[NAMES.conversation_commands]
    return {
        INTAKE: IntakeAgent(
            names=NAMES,
            channels=DIRECTORY,
            policy=POLICY,
            reply_topics=frozenset({NAMES.responses}),
            dead_letters=dead_letters,
            partitions=PARTITIONS,
            stamp=stamps.make,
        ).process,
        MESSAGES: MessagesAgent(names=NAMES, dead_letters=dead_letters, now_ms=stamps.now_ms).process,
        IDENTITY: IdentityAgent(names=NAMES, conversation_partitions=conversation_partitions).process,
        CONVERSATION: ConversationAgent(names=NAMES, partitions=conversation_partitions, signer=SIGNER).process,
    }
