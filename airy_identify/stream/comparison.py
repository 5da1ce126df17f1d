"""Comparing tables row by row, in one pass over all of them in key order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airy_identify.stream.digest import Digest
from airy_identify.wire.rows import PROGRESS_KEY

Rows = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A key whose row is not the same everywhere: its row in each table, null where there is none."""

    key: bytes
    rows: Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found: the digest and the number of rows of each table, how many keys differ, and the first of them."""

    digests: Mapping[str, bytes]
    counts: Mapping[str, int]
    differing: int
    differences: tuple[Difference, ...]


def compare(tables: Mapping[str, Rows], *, keep: int) -> Comparison:
    """Read all tables at once and compare them. Their rows come in key order; at most `keep` differences are kept."""
    readers = {name: iter(rows) for name, rows in tables.items()}
    heads = {name: next(reader, None) for name, reader in readers.items()}
    digests = {name: Digest() for name in tables}
    counts = dict.fromkeys(tables, 0)
    differences: list[Difference] = []
    differing = 0
    while present := [head[0] for head in heads.values() if head is not None]:
        key = min(present)
        rows: dict[str, bytes | None] = {}
        for name, head in heads.items():
            if head is None or head[0] != key:
                rows[name] = None
                continue
            rows[name] = head[1]
            if key != PROGRESS_KEY:
                digests[name].replace(key, None, head[1])
                counts[name] += 1
            heads[name] = next(readers[name], None)
        if key != PROGRESS_KEY and len(set(rows.values())) > 1:
            differing += 1
            if len(differences) < keep:
                differences.append(Difference(key=key, rows=rows))
    return Comparison(
        digests={name: digest.value for name, digest in digests.items()},
        counts=counts,
        differing=differing,
        differences=tuple(differences),
    )
