"""A visitor's chat is attached to whoever logs in, and Airy, which had a contact of its own for it, has one for both."""

import pytest

from airy_identify.core.ids import from_name
from tests.airy_world import World
from tests.builders import make_attach


@pytest.mark.parametrize("is_known", [True, False], ids=["somebody who is there", "somebody new"])
@pytest.mark.parametrize("airy_is_first", [True, False])
def test_airy_ends_with_one_contact(*, is_known: bool, airy_is_first: bool) -> None:
    world = World()
    if is_known:
        world.identify(external_id="u-1", email="ada@example.org")
    chat = world.visit()
    if airy_is_first:
        world.settle()
        assert from_name(chat) in world.airy.contacts
    world.identify(external_id="u-1", email="ada@example.org", attach=make_attach(chat))
    world.settle()
    (ada,) = world.contacts
    assert world.problems() == []
    assert list(world.airy.contacts) == [ada.id]
    assert chat in [each.id for each in ada.conversations]


def test_a_late_message_brings_nobody_back() -> None:
    world = World()
    world.identify(external_id="u-1")
    chat = world.visit()
    world.settle()
    world.identify(external_id="u-1", attach=make_attach(chat))
    world.message(chat)
    world.settle()
    (ada,) = world.contacts
    assert list(world.airy.contacts) == [ada.id]
