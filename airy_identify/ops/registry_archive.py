"""Apicurio Registry, fetched once from Maven Central into a cache that later runs share."""

import tarfile
from pathlib import Path

from airy_identify.ops.errors import ToolMissingError
from airy_identify.ops.maven import fetch_once, run_maven

REGISTRY_VERSION = "3.0.9"
"""The last line of versions that Java 17 runs."""

_WHAT = f"Apicurio Registry {REGISTRY_VERSION}"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:tar.gz:all"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:2.10:copy"
"""Later versions of the plugin look for the artifact's parent, which is not on Maven Central."""


def fetch_registry(cache: Path) -> Path:
    """Return the directory with the unpacked program, fetched by Maven when it is not there yet.

    Raises:
        ToolMissingError: Maven is missing or failed.
    """

    def fetch(directory: Path) -> Path:
        run_maven(directory, [_COPY, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={directory}"], what=_WHAT)
        archives = list(directory.glob("*.tar.gz"))
        if not archives:
            raise ToolMissingError(f"Maven could not fetch {_WHAT}: it ended with exit code 0 and no archive")
        unpacked = directory / "registry"
        with tarfile.open(archives[0]) as archive:
            archive.extractall(unpacked, filter="data")
        return unpacked

    return fetch_once(cache / f"apicurio-registry-{REGISTRY_VERSION}", fetch)


def runner_of(registry: Path) -> Path:
    """Return the jar that starts the program."""
    return registry / f"apicurio-registry-app-{REGISTRY_VERSION}-runner.jar"
