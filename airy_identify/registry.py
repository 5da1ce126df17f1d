"""The schema registry: a client of its Confluent API (`/schemas/ids`, `/subjects`), and who learns schemas from it.

A schema id that the registry does not know is a bad record: whoever decodes it finds that out. A registry that does not
answer is a broken world: whoever needs it waits, says so, and goes on by itself.

RegistryError
├── RegistryUnavailableError   no answer, or none that can be used: asking again may help (retriable)
└── RegistryRefusedError       the registry refuses what it is asked to register
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from airy_identify.wire.confluent import WriterSchemas, schema_id_of

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=2.0)
_CONNECTIONS_MAX = 8
_RETRY_FIRST_S, _RETRY_MAX_S = 0.25, 5.0
UNKNOWN_AGAIN_S = 1.0
"""After how long an unknown id is asked for once more: a replica of the registry may be a little behind the writer."""
UNKNOWN_TTL_S = 30.0
"""How long an unknown id is taken for unknown without asking."""

_NOT_FOUND = {40401, 40402, 40403}
"""Error codes: subject, version, schema not found. A 404 without one of them comes from a wrong address."""
_REFUSALS = {409, 422}


class RegistryError(Exception):
    """Base of all. `retriable`: asking again may help."""

    retriable = False


class RegistryUnavailableError(RegistryError):
    """The registry does not answer, or not as a registry does.

    Operator action: start the registry, or mend AIRY_IDENTIFY_SCHEMA_REGISTRY_URL. What waits for it goes on by itself.
    """

    retriable = True


class RegistryRefusedError(RegistryError):
    """The registry does not take a schema: it is not compatible with an earlier version of its subject.

    Operator action: deploy the version that the schema belongs to, or see `airy-identify schemas check`.
    """


class RegistryMetrics(Protocol):
    """Where the registry's answers are counted."""

    def registry_asked(self, outcome: str) -> None:
        """Count one lookup: `found`, `unknown` or `unavailable`."""

    def registry_waiting(self, count: int) -> None:
        """Note how many readers wait for the registry now."""


class RegistryClient:
    """A client of one registry, to be used as an async context manager. It keeps nothing but its connections."""

    def __init__(self, url: str) -> None:
        """Take the base address, with a user and password in it where the registry wants them (HTTP basic)."""
        given = URL(url.rstrip("/"))
        self._base = given.with_user(None)
        self._headers = {"Accept": f"{CONTENT_TYPE}, application/json"}
        if given.user is not None:
            self._headers["Authorization"] = aiohttp.encode_basic_auth(given.user, given.password or "")
        self._session: aiohttp.ClientSession | None = None

    def __str__(self) -> str:
        return str(self._base)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAX), headers=self._headers
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def add_to(self, schemas: WriterSchemas, schema_id: int) -> bool:
        """Add the schema of an id, or that it cannot be read; return false when the registry does not know the id."""
        found = await self.schema(schema_id)
        if found is None:
            return False
        if found.get("schemaType", "AVRO") != "AVRO" or found.get("references"):
            schemas.refuse(schema_id, "is no Avro schema that stands for itself")
        else:
            schemas.add(schema_id, found["schema"])
        return True

    async def schema(self, schema_id: int) -> dict[str, Any] | None:
        """Return what the registry has under an id: `schema` and more; null when it does not know the id."""
        found = await self._call("GET", f"/schemas/ids/{schema_id}")
        if found is not None and not (isinstance(found, dict) and isinstance(found.get("schema"), str)):
            raise RegistryUnavailableError(f"the schema registry at {self} answered without a schema")
        return found

    async def find(self, subject: str, schema: str) -> int | None:
        """Return the id of a schema in a subject, null when the subject does not have it."""
        found = await self._call(
            "POST", f"/subjects/{quote(subject, safe='')}", {"schema": schema, "schemaType": "AVRO"}
        )
        return None if found is None else int(found["id"])

    async def register(self, subject: str, schema: str) -> int:
        """Add a schema to a subject and return its id; one that is there already keeps it.

        Raises:
            RegistryRefusedError: It is not compatible.
        """
        registered = await self._call(
            "POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema, "schemaType": "AVRO"}
        )
        if registered is None:
            raise RegistryUnavailableError(f"the schema registry at {self} takes no schemas")
        return int(registered["id"])

    async def compatible(self, subject: str, schema: str) -> bool:
        """Return whether the subject would take the schema, by its level of compatibility; a new subject takes any."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions"
        found = await self._call("POST", path, {"schema": schema, "schemaType": "AVRO"})
        return True if found is None else bool(found["is_compatible"])

    async def versions(self, subject: str) -> list[int]:
        """Return the numbers of a subject's versions, none when there is no such subject."""
        return await self._call("GET", f"/subjects/{quote(subject, safe='')}/versions") or []

    async def compatibility(self, subject: str) -> str | None:
        """Return the level of compatibility that holds for a subject, null when there is no such subject."""
        path = f"/config/{quote(subject, safe='')}?defaultToGlobal=true"
        found = await self._call("GET", path)
        return None if found is None else str(found["compatibilityLevel"])

    async def set_compatibility(self, subject: str, level: str) -> None:
        """Set the level of compatibility of a subject."""
        await self._call("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level})

    async def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of an answer, null when what was asked for is not there."""
        if self._session is None:
            raise RuntimeError("the client is used within `async with`")
        data = None if body is None else json.dumps(body)
        try:
            url = URL(f"{self._base}{path}", encoded=True)
            async with self._session.request(method, url, data=data, headers={"Content-Type": CONTENT_TYPE}) as answer:
                status, text = answer.status, await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError, UnicodeDecodeError) as error:
            reason = str(error) or type(error).__name__
            raise RegistryUnavailableError(f"the schema registry at {self} does not answer ({reason})") from error
        return self._read(method, status, text)

    def _read(self, method: str, status: int, text: str) -> Any:  # noqa: ANN401 - JSON
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if status == 200 and found is not None:  # noqa: PLR2004 - OK
            return found
        code = found.get("error_code") if isinstance(found, dict) else None
        if status == 404 and code in _NOT_FOUND:  # noqa: PLR2004 - Not Found
            return None
        if status in _REFUSALS and method == "POST" and isinstance(found, dict):
            raise RegistryRefusedError(str(found.get("message", "refused")))
        raise RegistryUnavailableError(f"the schema registry at {self} answered {status}")


Waits = Callable[[str], None]
"""Told, at each attempt that failed, why somebody has to wait."""


async def wait_for_ids(client: RegistryClient, schemas: Mapping[str, str], waits: Waits) -> dict[str, int | None]:
    """Return the id of each schema by its subject, null where the subject does not have it. Waits for the registry."""
    found: dict[str, int | None] = {}
    pause_s = _RETRY_FIRST_S
    while missing := [subject for subject in schemas if subject not in found]:
        try:
            for subject in missing:
                found[subject] = await client.find(subject, schemas[subject])
        except RegistryUnavailableError as error:
            waits(str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RETRY_MAX_S)
    return found


async def wait_for_registered(client: RegistryClient, subject: str, schema: str, waits: Waits) -> int:
    """Return the id of a schema in a subject, which gets it if it does not have it. Waits for the registry.

    Raises:
        RegistryRefusedError: It is not compatible.
    """
    pause_s = _RETRY_FIRST_S
    while True:
        try:
            found = await client.find(subject, schema)
            return await client.register(subject, schema) if found is None else found
        except RegistryUnavailableError as error:
            waits(str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RETRY_MAX_S)


class SchemaResolver:
    """Learns the schemas that values were written with, before they are decoded. Each id is asked for once."""

    def __init__(
        self,
        client: RegistryClient,
        schemas: WriterSchemas,
        metrics: RegistryMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.schemas = schemas
        self._client = client
        self._metrics = metrics
        self._clock = clock
        self._waiting = 0

    def learn(self, values: Iterable[bytes | None], waits: Waits) -> Awaitable[None] | None:
        """Return what has to be awaited before these values are decoded; null when all of them can be.

        It ends when every id is known, or known to be unknown. While the registry does not answer it goes on asking
        and tells `waits` why.
        """
        ids = {found for value in values if (found := schema_id_of(value)) is not None and not self._settled(found)}
        return self._learn(ids, waits) if ids else None

    def _settled(self, schema_id: int) -> bool:
        since = self.schemas.unknown_since(schema_id)
        return schema_id in self.schemas or (since is not None and self._clock() - since < UNKNOWN_TTL_S)

    async def _learn(self, ids: set[int], waits: Waits) -> None:
        pause_s, asked_again = _RETRY_FIRST_S, False
        waiting = False
        try:
            while True:
                try:
                    await self._ask(ids)
                except RegistryUnavailableError as error:
                    self._metrics.registry_asked("unavailable")
                    if not waiting:
                        waiting = self._wait(1)
                        logger.warning("%s; records wait for the schema ids %s", error, sorted(ids)[:5])
                    waits(str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _RETRY_MAX_S)
                    continue
                ids = {schema_id for schema_id in ids if schema_id not in self.schemas}
                if not ids or asked_again:
                    return
                asked_again = True
                await asyncio.sleep(UNKNOWN_AGAIN_S)
        finally:
            if waiting:
                self._wait(-1)
                logger.info("the schema registry at %s is no longer waited for", self._client)

    def _wait(self, change: int) -> bool:
        self._waiting += change
        self._metrics.registry_waiting(self._waiting)
        return True

    async def _ask(self, ids: Iterable[int]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for schema_id in ids:
                    group.create_task(self._ask_for(schema_id))
        except ExceptionGroup as errors:  # the first that failed has ended the others
            away = errors.subgroup(RegistryUnavailableError)
            if away is None:
                raise
            raise RegistryUnavailableError(str(away.exceptions[0])) from errors

    async def _ask_for(self, schema_id: int) -> None:
        if await self._client.add_to(self.schemas, schema_id):
            self._metrics.registry_asked("found")
        else:
            self._metrics.registry_asked("unknown")
            self.schemas.add_unknown(schema_id, self._clock())
