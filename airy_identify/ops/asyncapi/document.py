"""The AsyncAPI 3.0 document of an installation: its topics, who sends and receives what, and where answers go."""

from collections.abc import Iterable, Mapping

from airy_identify.intake.json_schema import request_schema
from airy_identify.ops.asyncapi.messages import (
    AVRO,
    BINDING_VERSION,
    DEAD_LETTER,
    ERROR,
    REQUESTS,
    Document,
    airy_message,
    answer_messages,
    avro_messages,
    dead_letter_message,
    request_messages,
)
from airy_identify.settings import Settings
from airy_identify.topics import (
    AIRY_PARTITIONS,
    CONTACTS,
    CONVERSATION,
    IDENTITY,
    INTAKE,
    MESSAGES,
    TopicDeclaration,
    TopicNames,
    declare,
)

INTERFACE_VERSION = "1.0.0"
"""Of the interface, not of the program: the second number grows with every addition."""

REPLIES = "replies"
_CONFLUENT = (
    " Requests in Avro may also be in the Confluent wire format (0, the schema id, the datum); they are answered in it."
)
_SEND, _RECEIVE = "send", "receive"
_COMMANDS = (
    "IdentifyCommand",
    "InfoCommand",
    "MergeCommand",
    "UnmergeCommand",
    "ReleaseCommand",
    "ForgetCommand",
    "ResumeTokenCommand",
    "ContactRowReceived",
    "ConversationSeen",
)
_CONVERSATION_COMMANDS = ("ResumeSlip", "TokenSlip", "MessageReceived", "ForgetConversation")
_ROWS = {
    IDENTITY: (
        "ContactRow",
        "OwnerRow",
        "MergeRow",
        "ForgottenRow",
        "AiryContactRow",
        "AiryRecordRow",
        "AiryClaimsRow",
        "SeenConversationRow",
        "GoneRow",
        "GoneQueueRow",
        "ProgressRow",
    ),
    CONVERSATION: ("ConversationRow", "ForgottenRow", "ProgressRow"),
    INTAKE: ("ProgressRow",),
    MESSAGES: ("ProgressRow",),
    CONTACTS: ("ProgressRow",),
}
_SKIPS = ("SkipRecord",)
_GENERATIONS = ("GenerationRecord",)
_AIRY = {"messages": "AiryMessage", "channels": "AiryChannel", "contacts": "AiryMetadata"}


def asyncapi(settings: Settings) -> Document:
    """Return the document, with the names that the topics of this installation have."""
    names = settings.topic_names
    messages, schemas = _components()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "airy_identify",
            "version": INTERFACE_VERSION,
            "description": (
                "Who is this person, and which chats are theirs? Platform teams put requests on "
                f"`{names.requests}`, with any key and any partitioner, and read the answers, each exactly once with "
                "`isolation.level=read_committed`. The other topics are the service's own: they are described for "
                "operators, and only the service writes them. Whoever may write requests can identify anybody, and "
                "whoever reads answers reads resume tokens: guard both with ACLs."
            )
            + ("" if settings.schema_registry_url is None else _CONFLUENT),
        },
        "defaultContentType": "application/json",
        "servers": {
            f"kafka-{number}": {"host": host, "protocol": "kafka", "description": "A broker to begin with."}
            for number, host in enumerate(settings.kafka_bootstrap_servers.split(","), start=1)
        },
        "channels": _channels(settings),
        "operations": _operations(names),
        "components": {"messages": messages, "schemas": schemas},
    }


def _components() -> tuple[dict[str, Document], dict[str, Document]]:
    parts = [
        request_messages(),
        answer_messages(),
        avro_messages(_COMMANDS, "The tenant."),
        avro_messages(_CONVERSATION_COMMANDS, "The conversation id; of a slip without one, the request id."),
        avro_messages(dict.fromkeys(row for rows in _ROWS.values() for row in rows), "The key of the row."),
        avro_messages(_SKIPS, "`asked:` or `passed:`, and topic:partition:offset."),
        avro_messages(_GENERATIONS, "`building:`, `wanted:` or `current:`, and agent:partition."),
        avro_messages(_AIRY.values(), "Airy's id of it."),
    ]
    messages = {name: message for found, _ in parts for name, message in found.items()}
    messages |= {record + AVRO: airy_message(record, "Airy's id of it.") for record in _AIRY.values()}
    schemas = {name: schema for _, found in parts for name, schema in found.items()}
    return messages | {DEAD_LETTER: dead_letter_message()}, schemas


def _channels(settings: Settings) -> dict[str, Document]:
    names = settings.topic_names
    declared = {
        topic.name: topic
        for topic in declare(
            names,
            partitions=settings.partitions,
            messages_partitions=AIRY_PARTITIONS,
            production=settings.production,
        )
    }

    def channel(address: str, description: str, messages: Iterable[str]) -> Document:
        found = {"address": address, "description": description, "messages": _references(messages)}
        return found | {"bindings": _binding(declared.get(address), address, settings.replication_factor)}

    answers = _both(record for _, record in REQUESTS.values())
    replies: Document = {
        "address": None,
        "description": (
            "The topic that the header `kafka_replyTopic` of the request names, `identify-responses` when there is "
            "none; on the partition that `kafka_replyPartition` names, else on that of the request id."
        ),
        "messages": _references([*answers, *_both([ERROR])]),
    }
    bridge_answers = [record for _, record in REQUESTS.values()] + [ERROR]
    channels = {
        "identify-requests": channel(
            names.requests, "Requests, JSON or Avro, from anybody.", _both(record for record, _ in REQUESTS.values())
        ),
        REPLIES: replies,
        "identify-responses": channel(
            names.responses, "Answers, in the format of the question.", [*answers, *_both([ERROR])]
        ),
        "identify-bridge-responses": channel(
            names.bridge_responses, "Answers to requests that came over HTTP.", bridge_answers
        ),
        "identify-dead-letters": channel(
            names.dead_letters, "Records that could not be processed. Nothing is dropped without one.", [DEAD_LETTER]
        ),
        "identity-commands": channel(
            names.identity_commands, "The log of accepted requests: the truth.", _avro(_COMMANDS)
        ),
        "conversation-commands": channel(
            names.conversation_commands,
            "Messages, and requests on their way through the conversations.",
            _avro(_CONVERSATION_COMMANDS),
        ),
        "skips": channel(
            names.skips, "Records of the logs that are passed over, as an operator decided.", _avro(_SKIPS)
        ),
        "generations": channel(
            names.generations, "Which changelog each table partition has, after a rebuild.", _avro(_GENERATIONS)
        ),
    }
    for table, rows in _ROWS.items():
        channels[f"{table}-changelog"] = channel(
            names.changelog(table), f"The rows of the table {table}; a null value deletes one.", _avro(rows)
        )
    for topic, record in _AIRY.items():
        channels[f"airy-{topic}"] = channel(names.airy(topic), f"Airy's {topic}, which Airy owns.", _avro([record]))
    return channels


def _operations(names: TopicNames) -> dict[str, Document]:
    operations = {command: _ask(*records, names) for command, records in REQUESTS.items()}
    told = {
        "answer": (_SEND, "identify-responses", "Answer a request that came over Kafka."),
        "answer-bridge": (_SEND, "identify-bridge-responses", "Answer a request that came over HTTP."),
        "read-answer": (_RECEIVE, "identify-bridge-responses", "Take an answer to its HTTP caller."),
        "dead-letter": (_SEND, "identify-dead-letters", "Keep a record that could not be processed."),
        "append-command": (_SEND, "identity-commands", "Append an accepted request to the log."),
        "apply-command": (_RECEIVE, "identity-commands", "Decide a command, in the order of the log."),
        "send-slip": (_SEND, "conversation-commands", "Send a request or message to its conversation."),
        "visit": (_RECEIVE, "conversation-commands", "Apply a message, or look conversations up."),
        "write-skip": (_SEND, "skips", "Keep the decision to pass a record over, and that it was passed."),
        "read-skips": (_RECEIVE, "skips", "Follow the decisions to pass records over."),
        "write-generation": (_SEND, "generations", "Keep which changelog a table partition has, or is to have."),
        "read-generations": (_RECEIVE, "generations", "Follow which changelog each table partition has."),
    } | {f"read-airy-{topic}": (_RECEIVE, f"airy-{topic}", f"Follow Airy's {topic}.") for topic in _AIRY}
    for table in _ROWS:
        told[f"write-{table}"] = (_SEND, f"{table}-changelog", "Write rows, with the outputs of their batch.")
        told[f"restore-{table}"] = (_RECEIVE, f"{table}-changelog", "Restore the table of a partition.")
    return operations | {name: _operation(*parts) for name, parts in told.items()}


def _ask(request: str, answer: str, names: TopicNames) -> Document:
    return _operation(_RECEIVE, "identify-requests", request_schema(request)["description"]) | {
        "messages": _listed("identify-requests", _both([request])),
        "reply": {
            "address": {
                "location": "$message.header#/kafka_replyTopic",
                "description": f"Has to be an allowed reply topic; `{names.responses}` when the header is absent.",
            },
            "channel": {"$ref": f"#/channels/{REPLIES}"},
            "messages": _listed(REPLIES, _both([answer, ERROR])),
        },
    }


def _operation(action: str, channel: str, summary: str) -> Document:
    """Return an operation on all messages of a channel."""
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _binding(declared: TopicDeclaration | None, topic: str, replicas: int) -> Document:
    """Return the topic as it is declared; of Airy's, only its name."""
    binding: Document = {"topic": topic, "bindingVersion": BINDING_VERSION}
    if declared is not None:
        binding |= {"partitions": declared.partitions, "replicas": replicas}
        binding["topicConfiguration"] = _configuration(declared.config)
    return {"kafka": binding}


def _configuration(config: Mapping[str, str]) -> Document:
    """Return those topic settings that the binding has a place for."""
    numbers = ("retention.ms", "delete.retention.ms", "max.message.bytes")
    found: Document = {name: int(config[name]) for name in numbers if name in config}
    return {"cleanup.policy": [config["cleanup.policy"]]} | found


def _both(records: Iterable[str]) -> list[str]:
    return [name for record in dict.fromkeys(records) for name in (record, record + AVRO)]


def _avro(records: Iterable[str]) -> list[str]:
    return [record + AVRO for record in records]


def _references(messages: Iterable[str]) -> Document:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in dict.fromkeys(messages)}


def _listed(channel: str, messages: Iterable[str]) -> list[Document]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]
