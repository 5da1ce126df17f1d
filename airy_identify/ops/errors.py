"""What can go wrong with the world around the operator's commands.

OpsError                    exit code 1
├── BrokerError             the local broker does not start or stop
├── RegistryStartError      the local schema registry does not start
├── SchemasError            the schema registry cannot be asked, or refuses a schema
├── TopicsError             topics are missing or not as they have to be
└── KafkaUnreachableError   no broker answers
ToolMissingError            exit code 2: the machine lacks something
"""


class OpsError(Exception):
    """The command failed; the text is for the person who ran it."""

    retriable = False


class BrokerError(OpsError):
    """The local Kafka broker could not be started, or died.

    Operator action: read the log that the message names; look whether another program has the port.
    """


class RegistryStartError(OpsError):
    """The local schema registry could not be started, or died.

    Operator action: read the log that the message names.
    """


class SchemasError(OpsError):
    """The schema registry does not answer, refuses a schema, or none is configured.

    Operator action: set AIRY_IDENTIFY_SCHEMA_REGISTRY_URL; for a refused schema see `airy-identify schemas check`.
    """


class TopicsError(OpsError):
    """Topics are missing, or not as they have to be.

    Operator action: `airy-identify topics create`, or mend the settings that the lines name.
    """


class KafkaUnreachableError(OpsError):
    """No Kafka broker answers at the given addresses.

    Operator action: start Kafka, or set AIRY_IDENTIFY_KAFKA_BOOTSTRAP_SERVERS.
    """

    retriable = True


class ToolMissingError(Exception):
    """Java or Maven is missing, too old, or does not do its work.

    Operator action: install Java 17 or newer and Maven 3.8 or newer, or start Kafka with Docker.
    """

    retriable = False
