"""The jars of Apache Kafka, fetched once from Maven Central into a cache that later runs share."""

from pathlib import Path

from airy_identify.ops.maven import copy_dependencies, fetch_once

KAFKA_VERSION = "3.9.1"

_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>airy-identify</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-reload4j</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def fetch_jars(cache: Path) -> Path:
    """Return the directory with the jars, fetched by Maven when it is not there yet.

    Raises:
        ToolMissingError: Maven is missing or failed.
    """

    def fetch(directory: Path) -> Path:
        return copy_dependencies(directory, _POM, what=f"Kafka {KAFKA_VERSION}", contains="kafka_2.13-*.jar")

    return fetch_once(cache / f"kafka-{KAFKA_VERSION}", fetch)
