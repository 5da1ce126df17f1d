"""How a merge is undone where rows went on since: field by field, by value and not by history.

- The merged contact comes back as it was, with the aliases it had, and with those of its conversations and of its
  verified identifiers that the survivor still holds: a conversation may have been attached to somebody else since.
- The survivor loses these. Where its e-mail or phone is then empty, it gets back what the merging command replaced, if
  nobody holds that.
- Of the metadata that the merge brought, members that still have their value leave, recursively, and objects that this
  leaves empty with them.
- The survivor's `created_at` goes back. The rest stays.
"""

from collections.abc import Mapping
from dataclasses import replace

from airy_identify.core.contacts import all_ids
from airy_identify.core.keys import held_identifiers
from airy_identify.core.metadata import same_json
from airy_identify.core.release import without
from airy_identify.core.values import Contact, Email, JsonValue, Merged, PhoneNumber


def part(
    contact: Contact, row: Merged, *, email: Email | None, phone_number: PhoneNumber | None
) -> tuple[Contact, Contact]:
    """Return the survivor and the restored contact. `email` and `phone_number`: what the survivor may get back.

    Level marks, separations and `updated_at` are left alone.
    """
    before = row.merged
    restored = before
    held = set(held_identifiers(contact))
    survivor = contact
    for identifier in held_identifiers(before):
        if identifier in held:
            survivor = without(survivor, identifier)
        else:
            restored = without(restored, identifier)
    ids = frozenset(all_ids(before))
    had = frozenset(conversation.id for conversation in before.conversations)
    left = frozenset(conversation.id for conversation in contact.conversations)
    survivor = replace(
        survivor,
        created_at_ms=row.survivor.created_at_ms,
        email=email if survivor.email is None else survivor.email,
        phone_number=phone_number if survivor.phone_number is None else survivor.phone_number,
        metadata=_without_brought(contact.metadata, brought=before.metadata, had=row.survivor.metadata),
        conversations=tuple(each for each in contact.conversations if each.id not in had),
        aliases=tuple(alias for alias in contact.aliases if alias not in ids),
        merge_count=row.survivor.merge_count,
    )
    restored = replace(restored, conversations=tuple(each for each in before.conversations if each.id in left))
    return survivor, restored


def _without_brought(
    now: Mapping[str, JsonValue], *, brought: Mapping[str, JsonValue], had: Mapping[str, JsonValue]
) -> Mapping[str, JsonValue]:
    left = dict(now)
    for name, value in brought.items():
        if name in now and name not in had:
            _leave(left, name, value)
    return left


def _leave(members: dict[str, JsonValue], name: str, brought: JsonValue) -> None:
    """Take a member out if it still has its value; of an object, those of its members that do."""
    now = members[name]
    if same_json(now, brought):
        del members[name]
        return
    if not isinstance(now, dict) or not isinstance(brought, dict):
        return
    left = dict(now)
    for inner, value in brought.items():
        if inner in left:
            _leave(left, inner, value)
    if left or not now:
        members[name] = left
    else:
        del members[name]
