"""Our schemas in the registry: registering them, and telling what keeps them from being registered."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from airy_identify.ops.errors import SchemasError
from airy_identify.registry import RegistryClient, RegistryError
from airy_identify.settings import Settings
from airy_identify.subjects import COMPATIBILITY, schema_text, subjects_of


class SubjectState(StrEnum):
    """How a subject stands to today's schema."""

    REGISTERED = "registered"
    NEW = "new"
    """The subject would take the schema; `schemas register` gives it to it."""
    INCOMPATIBLE = "incompatible"
    UNGUARDED = "unguarded"
    """Its level of compatibility is not ours, so that it would take incompatible schemas."""


PROBLEMS = {SubjectState.INCOMPATIBLE, SubjectState.UNGUARDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectReport:
    """What was found, or done, about one subject. `schema_id` is null while the schema is not registered."""

    subject: str
    record: str
    state: SubjectState
    schema_id: int | None

    @property
    def problem(self) -> str | None:
        """What is wrong, null when nothing is."""
        match self.state:
            case SubjectState.INCOMPATIBLE:
                return f"{self.subject}: {self.record} is not {COMPATIBILITY} compatible with its earlier versions"
            case SubjectState.UNGUARDED:
                return f"{self.subject}: its compatibility is not {COMPATIBILITY}; run `airy-identify schemas register`"
        return None


async def check_schemas(settings: Settings) -> list[SubjectReport]:
    """Tell of each subject whether it has, or would take, today's schema. Nothing is changed.

    Raises:
        SchemasError: There is no registry in the settings, or it does not answer.
    """
    try:
        async with RegistryClient(_url(settings)) as client:
            return [await _check(client, subject, record) for subject, record in _subjects(settings).items()]
    except RegistryError as error:
        raise SchemasError(str(error)) from error


async def register_schemas(settings: Settings) -> list[SubjectReport]:
    """Give each subject our level of compatibility and today's schema. Repeating it changes nothing.

    Raises:
        SchemasError: There is no registry in the settings, or it does not answer; or it refuses a schema, which the
            text names. Subjects before that one have theirs.
    """
    reports = []
    try:
        async with RegistryClient(_url(settings)) as client:
            for subject, record in _subjects(settings).items():
                reports.append(await _register(client, subject, record))
    except RegistryError as error:
        raise SchemasError(str(error)) from error
    return reports


def _url(settings: Settings) -> str:
    if settings.schema_registry_url is None:
        raise SchemasError("no schema registry: set AIRY_IDENTIFY_SCHEMA_REGISTRY_URL")
    return settings.schema_registry_url


def _subjects(settings: Settings) -> Mapping[str, str]:
    return subjects_of(settings.topic_names)


async def _check(client: RegistryClient, subject: str, record: str) -> SubjectReport:
    text = schema_text(record)
    schema_id = await client.find(subject, text)
    state = SubjectState.NEW if schema_id is None else SubjectState.REGISTERED
    if await client.versions(subject):
        if await client.compatibility(subject) != COMPATIBILITY:
            state = SubjectState.UNGUARDED
        elif schema_id is None and not await client.compatible(subject, text):
            state = SubjectState.INCOMPATIBLE
    return SubjectReport(subject=subject, record=record, state=state, schema_id=schema_id)


async def _register(client: RegistryClient, subject: str, record: str) -> SubjectReport:
    if await client.versions(subject):  # guarded first, so that an incompatible schema does not get in
        await client.set_compatibility(subject, COMPATIBILITY)
    text = schema_text(record)
    before = await client.find(subject, text)
    schema_id = await client.register(subject, text) if before is None else before
    await client.set_compatibility(subject, COMPATIBILITY)
    state = SubjectState.NEW if before is None else SubjectState.REGISTERED
    return SubjectReport(subject=subject, record=record, state=state, schema_id=schema_id)
