"""Every topic the service reads or writes, declared once: name, partitions, settings, who writes it.

A plain declaration without Kafka: `stream`, `web` and `ops` all take the names from here.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

AIRY_PARTITIONS = 10
"""What Airy's own provisioning creates (airyhq/airy, kafka-create-topics.yaml); used only for a local broker."""

RECORD_BYTES_MAX = 4 * 1024 * 1024
"""The largest record we write: an answer of 50 conversations whose last messages are 16 KiB each, as JSON."""

DEAD_LETTER_BYTES_MAX = RECORD_BYTES_MAX + 1024 * 1024
"""A dead letter is a whole record with more headers, and must always fit."""

_DAY_MS = 24 * 60 * 60 * 1000
_FOREVER = -1

CONVERSATION_COMMANDS_RETENTION_MS = 30 * _DAY_MS
"""How long slips and messages are kept; what is older can be made again from Airy's messages."""

DELETE_RETENTION_MS = 7 * _DAY_MS
"""How long a changelog keeps tombstones: a store that is older than half of it is restored from the start."""

IDENTITY = "contact-identity"
CONVERSATION = "conversation"
INTAKE = "intake"
MESSAGES = "messages"
CONTACTS = "contacts"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDeclaration:
    """A topic as it has to be. `config` are the topic settings that `topics check` insists on."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    ours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicNames:
    """The full names of all topics. Built from the prefix of this installation and Airy's namespace."""

    prefix: str = ""
    app_id: str = "airy-identify"
    airy_namespace: str = ""

    @property
    def requests(self) -> str:
        """Requests of platform teams, any key, any partitioner."""
        return f"{self.prefix}identify-requests"

    @property
    def identity_commands(self) -> str:
        """The log of commands, keyed by tenant: the truth. Only intake writes it."""
        return f"{self.prefix}identity-commands"

    @property
    def conversation_commands(self) -> str:
        """Slips and messages, keyed by conversation id."""
        return f"{self.prefix}conversation-commands"

    @property
    def responses(self) -> str:
        """Answers to requests that came over Kafka."""
        return f"{self.prefix}identify-responses"

    @property
    def bridge_responses(self) -> str:
        """Answers to requests that came over HTTP."""
        return f"{self.prefix}identify-bridge-responses"

    @property
    def dead_letters(self) -> str:
        """Records that could not be processed, byte for byte, with the reason in the headers."""
        return f"{self.prefix}identify-dead-letters"

    def changelog(self, table: str, generation: int = 1) -> str:
        """Return the changelog of a table: `contact-identity`, `conversation`, or the progress of a stateless agent.

        Each rebuild of a table makes another generation of it.
        """
        return of_generation(f"{self.app_id}-{table}-changelog", generation)

    @property
    def skips(self) -> str:
        """Records of our logs that are passed over by an operator's decision; one partition."""
        return f"{self.app_id}-skips"

    @property
    def generations(self) -> str:
        """Which generation of its changelog each table partition has; one partition."""
        return f"{self.app_id}-generations"

    def airy(self, name: str) -> str:
        """Return Airy's topic `application.communication.<name>` with its namespace."""
        namespace = f"{self.airy_namespace}." if self.airy_namespace else ""
        return f"{namespace}application.communication.{name}"

    @property
    def airy_messages(self) -> str:
        """Airy's messages, keyed by message id."""
        return self.airy("messages")

    @property
    def airy_channels(self) -> str:
        """Airy's channels, keyed by channel id."""
        return self.airy("channels")

    @property
    def airy_contacts(self) -> str:
        """Rows of Airy's contacts, keyed by a hash of contact id and attribute."""
        return self.airy("contacts")


def of_generation(name: str, generation: int) -> str:
    """Return the name that a changelog, or the directory of a store, has in a generation. The first has no number."""
    return name if generation == 1 else f"{name}-g{generation}"


def declare(  # noqa: PLR0913 - one for each thing that an installation may have otherwise
    names: TopicNames,
    *,
    partitions: int,
    messages_partitions: int,
    contacts_partitions: int | None = AIRY_PARTITIONS,
    production: bool,
    generations: Mapping[str, Collection[int]] | None = None,
) -> tuple[TopicDeclaration, ...]:
    """Return our own topics as they have to be.

    A log and its changelog have the same number of partitions, so the progress changelogs of the agents `messages` and
    `contacts` have as many as Airy's topics; null for contacts that are not read. With `production` (three replicas or
    more) two of them must be in sync. `generations` are the numbers of the changelogs that each table has; only the first
    when it is not there.
    """
    common = {
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "min.insync.replicas": "2" if production else "1",
        "unclean.leader.election.enable": "false",
    }

    def log(name: str, retention_ms: int, **more: str) -> TopicDeclaration:
        config = common | more | {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}
        return TopicDeclaration(name=name, partitions=partitions, config=config)

    def changelogs(table: str, count: int) -> Iterator[TopicDeclaration]:
        config = common | {"cleanup.policy": "compact", "delete.retention.ms": str(DELETE_RETENTION_MS)}
        for generation in sorted((generations or {}).get(table, (1,))):
            yield TopicDeclaration(name=names.changelog(table, generation), partitions=count, config=config)

    return (
        log(names.requests, 7 * _DAY_MS),
        log(names.identity_commands, _FOREVER),
        log(names.conversation_commands, CONVERSATION_COMMANDS_RETENTION_MS),
        log(names.responses, _DAY_MS),
        log(names.bridge_responses, 10 * 60 * 1000),
        log(names.dead_letters, 30 * _DAY_MS, **{"max.message.bytes": str(DEAD_LETTER_BYTES_MAX)}),
        *changelogs(INTAKE, partitions),
        *changelogs(IDENTITY, partitions),
        *changelogs(CONVERSATION, partitions),
        *changelogs(MESSAGES, messages_partitions),
        *(() if contacts_partitions is None else changelogs(CONTACTS, contacts_partitions)),
        TopicDeclaration(name=names.skips, partitions=1, config=common | {"cleanup.policy": "compact"}),
        TopicDeclaration(name=names.generations, partitions=1, config=common | {"cleanup.policy": "compact"}),
    )


def declare_airy(names: TopicNames) -> tuple[TopicDeclaration, ...]:
    """Return Airy's topics for a local broker; in production they are Airy's, and we only read them."""
    compact = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(_DAY_MS)}
    return tuple(
        TopicDeclaration(name=names.airy(name), partitions=AIRY_PARTITIONS, config=compact, ours=False)
        for name in ("messages", "channels", "contacts")
    )
