"""What running workers and bridges tell of themselves: `/metrics` and `/readyz`, read at one moment."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

WORKER, BRIDGE = "worker", "bridge"
_TIMEOUT_S = 3.0
_MARKS = {WORKER: "airy_identify_shard_state", BRIDGE: "airy_identify_http_pending"}
_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number of a metric, with its labels."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a process told when it was asked.

    Args:
        address: Where it was asked: http://host:port.
        at_s: When, by a monotonic clock.
        kind: `worker` or `bridge`; null when nobody answers, or it is neither.
        silence: Why there is no answer; null when there is one.
        problems: Why it is not ready.
        samples: Its metrics.
    """

    address: str
    at_s: float
    kind: str | None = None
    silence: str | None = None
    problems: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = field(default=(), repr=False)


async def ask_all(addresses: Iterable[str]) -> list[Told]:
    """Ask them all at once; whoever does not answer in a few seconds is told as silent."""
    return list(await asyncio.gather(*(asyncio.to_thread(_ask, address) for address in addresses)))


def _ask(address: str) -> Told:
    at_s = time.monotonic()
    try:
        status, page = _get(f"{address}/metrics")
        _, ready = _get(f"{address}/readyz")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Told(address=address, at_s=at_s, silence=f"does not answer ({reason})")
    kind = kind_of(page) if status == 200 else None  # noqa: PLR2004 - OK
    if kind is None:
        return Told(address=address, at_s=at_s, silence="answers, but is neither a worker nor a bridge")
    return Told(address=address, at_s=at_s, kind=kind, problems=problems_of(ready), samples=samples_of(page))


def _get(url: str) -> tuple[int, str]:
    """Return status and text of a page. Raises `OSError`, and `ValueError` for what is no HTTP."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - it is http, see `top`
            return response.status, response.read(_BYTES_MAX).decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_BYTES_MAX).decode(errors="replace")
    except urllib.error.URLError:
        raise
    except Exception as error:  # http.client has errors of its own, for what is no HTTP
        raise ValueError(type(error).__name__) from error


def kind_of(page: str) -> str | None:
    """Return what a page of metrics is of; null when it is of neither a worker nor a bridge."""
    return next((kind for kind, metric in _MARKS.items() if f"# TYPE {metric} gauge" in page), None)


def problems_of(ready: str) -> tuple[str, ...]:
    """Return the reasons in an answer of `/readyz`; none when it is ready."""
    try:
        told = json.loads(ready)
        return tuple(str(reason) for reason in told.get("reasons", ()))
    except (ValueError, AttributeError, TypeError):
        return ("/readyz cannot be read",)


def samples_of(page: str) -> tuple[Sample, ...]:
    """Return the numbers of a page of metrics. Of one that cannot be read, none."""
    try:
        return tuple(
            Sample(name=sample.name, labels=dict(sample.labels), value=float(sample.value))
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        )
    except ValueError:
        return ()
