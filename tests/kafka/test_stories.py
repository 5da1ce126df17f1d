"""Stories of people and their devices. Each ends with who sees which chats.

A chat is called by what was said in it. Whoever logs in says who they are through a running service, and sees the last
messages of the chats that they get tokens for.
"""

import uuid
from typing import Any

import pytest

from tests.kafka.doors import HttpDoor
from tests.kafka.service import Answer, Service, poll, put_messages

ADA = {"external_id": "ada", "email": "ada@example.org"}
BOB = {"external_id": "bob", "email": "bob@example.org"}
TABLET = {"identifiers": {"device": "tablet"}}
PHONE = {"phone_number": "+493012345601"}


class Website:
    """A website with a chat and its own tenant: people come, say who they are, and chat."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tenant = service.new_tenant()
        self._door = HttpDoor(service)

    async def command(self, name: str, status: int = 200, **fields: Any) -> Answer:
        answered, answer = await self._door.ask(name, {"tenant": self.tenant.name} | fields)
        assert answered == status, answer
        return answer

    async def visit(self, *who: dict[str, Any], says: str | None = None) -> str:
        """Somebody comes, and says something in the first of their chats; return the id of their contact."""
        answer = await self._identify(*who)
        if says is not None:
            await self._say(answer["conversations"][0]["id"], says)

            async def said() -> bool:
                return says in _said(await self._identify(*who))

            await poll(said, f"{says!r} did not arrive")
        contact_id: str = answer["contact"]["id"]
        return contact_id

    async def sees(self, *who: dict[str, Any]) -> set[str]:
        """Return what was said last in each chat that these people see; chats in which nothing was said are left out."""
        return _said(await self._identify(*who))

    async def _identify(self, *who: dict[str, Any]) -> Answer:
        fields: dict[str, Any] = {"channel_id": self.tenant.channel}
        for each in who:
            fields |= each
        return await self.command("identify", **fields)

    async def _say(self, conversation_id: str, text: str) -> None:
        message = {
            "id": str(uuid.uuid4()),
            "conversation_id": conversation_id,
            "channel_id": self.tenant.channel,
            "content": text,
        }
        await put_messages(self.service.settings, message)


def _said(answer: Answer) -> set[str]:
    assert all(conversation["resume_token"] for conversation in answer["conversations"])
    return {each["last_message"]["content"] for each in answer["conversations"] if each["last_message"]}


@pytest.fixture
def website(service: Service) -> Website:
    return Website(service)


async def test_two_people_on_one_tablet(website: Website) -> None:
    await website.visit(TABLET, says="Do you have lamps?")
    await website.visit(ADA, TABLET)  # it was Ada, who logs in now
    await website.visit(BOB, TABLET, says="Where is my order?")

    assert await website.sees(ADA) == await website.sees(ADA, TABLET) == {"Do you have lamps?"}
    assert await website.sees(BOB) == await website.sees(BOB, TABLET) == {"Where is my order?"}
    assert await website.sees(TABLET) == set(), "whoever uses the tablet without a name sees neither"


async def test_an_anonymous_chat_goes_to_whoever_logs_in_next_with_the_device(website: Website) -> None:
    await website.visit(ADA, TABLET, says="Hello, Ada here")
    await website.visit(TABLET, says="Nobody in particular")  # Ada has logged out, and somebody goes on
    await website.visit(BOB)  # without the device: Bob does not want what was said on it

    assert await website.sees(BOB) == set()
    assert await website.sees(BOB, TABLET) == {"Nobody in particular"}
    assert await website.sees(ADA, TABLET) == {"Hello, Ada here"}


async def test_one_person_on_two_tablets(website: Website) -> None:
    kitchen, sofa = ({"identifiers": {"device": name}} for name in ("kitchen", "sofa"))
    await website.visit(kitchen, says="From the kitchen")
    await website.visit(sofa, says="From the sofa")
    both = {"From the kitchen", "From the sofa"}

    assert await website.sees(kitchen) == {"From the kitchen"}
    assert await website.sees(ADA, kitchen) == {"From the kitchen"}
    assert await website.sees(ADA, sofa) == both
    assert await website.sees(ADA, kitchen) == await website.sees(ADA) == both
    assert await website.sees(sofa) == set(), "logged out, the sofa shows nothing of Ada's"


async def test_a_household_phone(website: Website) -> None:
    await website.visit(ADA, PHONE, says="Ada's order")
    await website.visit(BOB, PHONE, says="Bob's order")

    assert await website.sees(ADA, PHONE) == {"Ada's order"}
    assert await website.sees(BOB, PHONE) == {"Bob's order"}
    assert await website.sees(PHONE) == {"Ada's order"}, "the number is hers: she was the first to have it verified"


async def test_a_changed_e_mail(website: Website) -> None:
    new = {"email": "ada.lovelace@example.org"}
    ada = await website.visit(ADA, says="Before the change")
    assert await website.visit(ADA | new) == ada
    successor = await website.visit({"email": ADA["email"]}, says="I have this address now")

    assert successor != ada
    assert await website.sees({"external_id": "ada"}) == await website.sees(new) == {"Before the change"}
    assert await website.sees({"email": ADA["email"]}) == {"I have this address now"}


async def test_a_phone_number_that_is_given_out_again(website: Website) -> None:
    old = await website.visit({"email": ADA["email"]} | PHONE, says="From the old owner")
    await website.visit(BOB, PHONE, says="From the new owner")
    assert await website.sees(BOB, PHONE) == {"From the new owner"}, "it is still Ada's number here"

    await website.command("release", contact_id=old, kind="phone_number", value=PHONE["phone_number"])
    await website.visit(BOB, PHONE)

    assert await website.sees(PHONE) == await website.sees(BOB) == {"From the new owner"}
    assert await website.sees({"email": ADA["email"]}) == {"From the old owner"}


async def test_a_typo_that_took_somebody_over_is_repaired_by_release(website: Website) -> None:
    bob = await website.visit({"email": BOB["email"]}, says="Bob's chat")
    assert await website.visit(ADA | {"email": BOB["email"]}) == bob  # she typed his address, and nobody verified it
    assert await website.sees({"external_id": "ada"}) == {"Bob's chat"}

    await website.command("release", contact_id=bob, kind="external_id", value="ada")
    await website.visit(ADA, says="Ada's chat")

    assert await website.sees(ADA) == {"Ada's chat"}
    assert await website.sees({"email": BOB["email"]}) == {"Bob's chat"}
    assert await website.sees(BOB) == {"Bob's chat"}, "he can still make it his account"


async def test_a_typo_that_merged_two_people_is_repaired_by_unmerge(website: Website) -> None:
    ada = await website.visit(ADA, says="Ada's chat")
    bob = await website.visit({"email": BOB["email"]}, says="Bob's chat")
    assert await website.visit(ADA | {"email": BOB["email"]}) == ada
    assert await website.sees({"external_id": "ada"}) == {"Ada's chat", "Bob's chat"}

    restored = await website.command("unmerge", contact_id=bob)
    assert (restored["contact"]["email"], restored["restored"]["email"]) == (ADA["email"], BOB["email"])

    assert await website.sees(ADA) == {"Ada's chat"}
    assert await website.sees({"email": BOB["email"]}) == {"Bob's chat"}
    assert await website.sees(ADA | {"email": BOB["email"]}) == {"Ada's chat"}, "the typo does it no second time"
    assert await website.sees(BOB) == {"Bob's chat"}
