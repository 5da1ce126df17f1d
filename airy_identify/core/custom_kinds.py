"""The values of custom kinds on one contact.

- Up to five values a kind, oldest first; a new one goes to the end, and one that is there keeps its place.
- Beyond five the oldest drop out, but never one that the request names.
- A contact has at most `KINDS_MAX` kinds, so that no row outgrows a record; kinds are never dropped for it.
- Kinds are in alphabetical order, and there is no kind without a value.
"""

from collections.abc import Collection, Mapping

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import CustomIdentifiers

VALUES_MAX = 5
KINDS_MAX = 64
"""A caller who puts data into the names of kinds must not be able to grow a row without end (64 · 5 · 1 KiB)."""

CustomValues = tuple[CustomIdentifiers, ...]


def add_values(held: CustomValues, *, added: Mapping[str, list[str]], named: CustomValues) -> CustomValues | Rejected:
    """Return the values with the added ones, which are new to the contact; `named` are all that the request names."""
    if not added:
        return held
    by_kind = {custom.kind: custom.values for custom in held}
    for given in named:
        if given.kind in added:
            values = (*by_kind.get(given.kind, ()), *added[given.kind])
            by_kind[given.kind] = _drop_oldest(values, keep=given.values)
    if len(by_kind) > KINDS_MAX and len(by_kind) > len(held):
        new_kind = min(by_kind.keys() - {custom.kind for custom in held})
        message = f"the contact has {KINDS_MAX} kinds of custom identifiers, which is the most there can be"
        return Rejected(reason=Reason.INVALID_FIELD, message=message, field=f"identifiers.{new_kind}")
    return tuple(CustomIdentifiers(kind=kind, values=by_kind[kind]) for kind in sorted(by_kind))


def unite_values(mine: CustomValues, others: CustomValues) -> CustomValues:
    """Return the values of both, those of `mine` first; what is beyond five of a kind is left out."""
    by_kind = {custom.kind: custom.values for custom in mine}
    for custom in others:
        values = (*by_kind.get(custom.kind, ()), *custom.values)
        by_kind[custom.kind] = values[:VALUES_MAX]
    return tuple(CustomIdentifiers(kind=kind, values=by_kind[kind]) for kind in sorted(by_kind))


def remove_values(held: CustomValues, *, lost: Collection[tuple[str, str]]) -> CustomValues:
    """Return the values without the lost ones, each a pair of kind and value."""
    kept = (
        CustomIdentifiers(kind=custom.kind, values=tuple(v for v in custom.values if (custom.kind, v) not in lost))
        for custom in held
    )
    return tuple(custom for custom in kept if custom.values)


def _drop_oldest(values: tuple[str, ...], *, keep: Collection[str]) -> tuple[str, ...]:
    excess = len(values) - VALUES_MAX
    kept = []
    for value in values:
        if excess > 0 and value not in keep:
            excess -= 1
        else:
            kept.append(value)
    return tuple(kept)
