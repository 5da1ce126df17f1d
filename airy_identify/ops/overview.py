"""What `top` shows: rows and totals, from what processes told now and the time before. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from airy_identify.ops.probing import BRIDGE, WORKER, Told

_PREFIX = "airy_identify_"
_DIGEST_BYTES = 6
_DIGEST_SHOWN = 8
_SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRow:
    """A shard or a standby. What is not known is null; a rate needs two samples of the same process.

    `behind` counts offsets: of the log for a shard that runs, of the changelog for one that restores and for a standby.
    """

    address: str
    agent: str
    partition: int
    state: str
    standby: bool = False
    offset: int | None = None
    behind: int | None = None
    per_s: float | None = None
    digest: str | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What all that answer have counted: each since it started. Rates need two samples, and are null without."""

    requests: int = 0
    requests_per_s: float | None = None
    pending: int = 0
    records_per_s: float | None = None
    restored_rows: int = 0
    skips: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    reopened: Mapping[str, int] = field(default_factory=dict)


def shard_rows(now: Sequence[Told], before: Sequence[Told] = ()) -> list[ShardRow]:
    """Return a row for each shard and each standby, in the order of agents and partitions."""
    earlier = {told.address: told for told in before}
    rows = [row for told in now if told.kind == WORKER for row in _rows_of(told, earlier.get(told.address))]
    return sorted(rows, key=lambda row: (row.agent, row.partition, row.standby, row.address))


def _rows_of(told: Told, before: Told | None) -> list[ShardRow]:
    offsets, digests = _by_shard(told, "table_offset"), _by_shard(told, "table_digest")
    generations = _by_shard(told, "table_generation")
    behind, restoring = _by_shard(told, "shard_behind_records"), _by_shard(told, "restore_behind_rows")
    offsets_before = {} if before is None else _by_shard(before, "table_offset")
    rows = []
    for shard, state in _states(told, "shard_state").items():
        offset, digest = offsets.get(shard), digests.get(shard)
        applied = None
        if before is not None and offset is not None and shard in offsets_before:
            applied = _rate(offset - offsets_before[shard], told, before)
        rows.append(
            ShardRow(
                address=told.address,
                agent=shard[0],
                partition=shard[1],
                state=state,
                offset=None if offset is None else int(offset),
                behind=_whole(restoring.get(shard, behind.get(shard))),
                per_s=applied,
                digest=None if digest is None else int(digest).to_bytes(_DIGEST_BYTES, "big").hex()[:_DIGEST_SHOWN],
                generation=_whole(generations.get(shard)),
            )
        )
    copies = _by_shard(told, "standby_behind_rows")
    for (agent, partition), state in _states(told, "standby_state").items():
        rows.append(
            ShardRow(
                address=told.address,
                agent=agent,
                partition=partition,
                state=state,
                standby=True,
                behind=_whole(copies.get((agent, partition))),
            )
        )
    return rows


def totals(now: Sequence[Told], before: Sequence[Told] = ()) -> Totals:
    """Return the sums over all that answer."""
    dead_letters = _summed(now, "dead_letters_total", "code")
    requests = [_sum(told, "http_requests_total") for told in now if told.kind == BRIDGE]
    return Totals(
        requests=int(sum(requests)),
        requests_per_s=_total_rate(now, before, BRIDGE, "http_requests_total"),
        pending=int(sum(_sum(told, "http_pending") for told in now)),
        records_per_s=_total_rate(now, before, WORKER, "records_total"),
        restored_rows=int(sum(_sum(told, "restored_rows_total") for told in now)),
        skips=dead_letters.pop(_SKIPPED, 0),
        refusals=_summed(now, "http_refusals_total", "code"),
        dead_letters=dead_letters,
        reopened=_summed(now, "shard_reopened_total", "cause"),
    )


def _total_rate(now: Iterable[Told], before: Iterable[Told], kind: str, metric: str) -> float | None:
    earlier = {told.address: told for told in before if told.kind == kind}
    rates = [
        _rate(_sum(told, metric) - _sum(earlier[told.address], metric), told, earlier[told.address])
        for told in now
        if told.kind == kind and told.address in earlier
    ]
    return sum(rates) if rates else None


def _rate(counted: float, now: Told, before: Told) -> float:
    """Return how many a second; a process that was restarted in between begins anew, from 0."""
    return max(0.0, counted) / max(now.at_s - before.at_s, 1e-3)


def _by_shard(told: Told, metric: str) -> dict[tuple[str, int], float]:
    return {
        (sample.labels["agent"], int(sample.labels["partition"])): sample.value
        for sample in told.samples
        if sample.name == _PREFIX + metric
    }


def _states(told: Told, metric: str) -> dict[tuple[str, int], str]:
    return {
        (sample.labels["agent"], int(sample.labels["partition"])): sample.labels["state"]
        for sample in told.samples
        if sample.name == _PREFIX + metric and sample.value == 1
    }


def _sum(told: Told, metric: str) -> float:
    return sum(sample.value for sample in told.samples if sample.name == _PREFIX + metric)


def _summed(now: Iterable[Told], metric: str, label: str) -> dict[str, int]:
    found: dict[str, float] = defaultdict(float)
    for told in now:
        for sample in told.samples:
            if sample.name == _PREFIX + metric:
                found[sample.labels[label]] += sample.value
    return {name: int(found[name]) for name in sorted(found) if found[name]}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
