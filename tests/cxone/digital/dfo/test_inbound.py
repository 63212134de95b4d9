from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.happenings import ChannelHappening
from sipbridge.chats.model import HumanAgent
from sipbridge.cxone.digital.dfo.frames import Frame, Push, Reply
from sipbridge.cxone.digital.dfo.identity import Identity
from sipbridge.cxone.digital.dfo.inbound import Inbound
from sipbridge.errors import HttpError
from tests.cxone.digital.dfo.scripted_gateway import a_message, record

ADA = {"id": 101, "firstName": "Ada", "surname": "Low"}
IDENTITY = Identity.of(record())


class World:
    """An `Owner`, and what its thread reported. `bodies` are those of events and messages, by URL and id."""

    def __init__(self) -> None:
        self.happened: list[ChannelHappening] = []
        self.faults: list[str] = []
        self.delivered: list[Frame] = []
        self.confirmed: list[str] = []
        self.old: set[str] = set()  # messages that the bot has from an earlier run
        self.kept = 0
        self.reconnections = 0
        self.bodies: dict[str, asyncio.Future[Any]] = {}
        self.identity = Identity.of(record())
        self.inbound = Inbound(self.identity, self, self.happened.append, lambda message_id: message_id not in self.old)

    async def fetch_event(self, url: str) -> object:
        return await self.bodies[url]

    async def fetch_body(self, message_id: str) -> dict[str, Any]:
        body: dict[str, Any] = await self.bodies[message_id]
        return body

    def deliver(self, frame: Frame) -> None:
        self.delivered.append(frame)

    def confirm(self, message_id: str) -> None:
        self.confirmed.append(message_id)

    def keep_identity(self) -> None:
        self.kept += 1

    def reconnect(self) -> None:
        self.reconnections += 1

    def fault(self, word: str, _text: str) -> None:
        self.faults.append(word)

    def push(self, event_type: str, **data: object) -> None:
        self.inbound.push(Push(event_type, data))

    def say(self, message_id: str, **fields: object) -> None:
        self.push("MessageCreated", case={"id": "7"}, message=a_message(message_id, message_id, **fields))

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.happened if isinstance(each, h.AgentMessage)]

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> World:
    return World()


async def test_contact_id_of_the_first_event_is_kept_once(world: World) -> None:
    world.push("CaseCreated", case={"id": 7})
    world.push("CaseCreated", case={"id": "7"})
    assert (world.identity.contact_id, world.kept) == ("7", 1)


async def test_message_is_reported_once_by_either_of_its_ids(world: World) -> None:
    world.say("one")
    world.say("one", id="")
    world.say("two", idOnExternalPlatform="X-ONE")
    assert world.texts == ["one"]


async def test_own_message_is_confirmed_and_not_reported(world: World) -> None:
    world.push("MessageSent", message={"idOnExternalPlatform": "OWN-1"})
    world.push("MessageCreated", message=a_message("s1", "x", direction="inbound", idOnExternalPlatform="own-2"))
    assert world.texts == []
    assert world.confirmed == ["own-1", "own-2"]
    assert world.inbound.own_messages == {"own-1", "own-2"}


async def test_events_of_another_thread_are_ignored(world: World) -> None:
    other = {"idOnExternalPlatform": "other"}
    world.push("MessageCreated", thread=other, message=a_message("one", "one"))
    world.push("SenderTypingStarted", thread=other)
    world.push("CaseStatusChanged", case={"threadIdOnExternalPlatform": "other", "status": "closed"})
    assert world.happened == []


async def test_thread_matches_in_any_letter_case(world: World) -> None:
    thread = {"idOnExternalPlatform": IDENTITY.thread_id.upper()}
    world.push("MessageCreated", thread=thread, message=a_message("one", "one"))
    assert world.texts == ["one"]


async def test_join_transfer_and_leave_are_reported_and_none_is_an_end(world: World) -> None:
    world.push("CaseInboxAssigneeChanged", case={"id": "7"}, inboxAssignee=ADA)
    world.push("CaseInboxAssigneeChanged", case={"id": "7"}, inboxAssignee=None)
    world.push("CaseInboxAssigneeChanged", case={"id": "7"}, inboxAssignee={"id": 102, "nickname": "Ben"})
    assert world.happened == [
        h.AgentJoined(HumanAgent(id="101", name="Ada Low")),
        h.AgentLeft(),
        h.AgentJoined(HumanAgent(id="102", name="Ben")),
    ]


async def test_assigned_bot_or_survey_is_ignored(world: World) -> None:
    for kind in ("isBotUser", "isSurveyUser"):
        world.push("CaseInboxAssigneeChanged", case={"id": "7"}, inboxAssignee={**ADA, kind: True})
    assert world.happened == []
    assert world.faults == []


async def test_events_of_another_contact_change_nothing(world: World) -> None:
    world.push("CaseCreated", case={"id": "7"})
    world.push("CaseInboxAssigneeChanged", case={"id": "8"}, inboxAssignee=ADA)
    world.push("CaseStatusChanged", case={"id": "8", "status": "closed"})
    assert world.happened == []


@pytest.mark.parametrize(
    ("status", "over"), [("closed", True), ("trashed", True), ("resolved", False), ("open", False)]
)
async def test_only_closed_and_trashed_are_the_end(world: World, status: str, over: bool) -> None:  # noqa: FBT001 (a parameter)
    for _ in range(2):
        world.push("CaseStatusChanged", case={"id": "7", "status": status})
    await world.settle()
    assert world.happened == ([h.ContactClosed()] if over else [])
    assert world.inbound.is_over is over


async def test_own_typing_that_comes_back_is_ignored(world: World) -> None:
    world.push("SenderTypingStarted", direction="inbound")
    world.push("SenderTypingStarted", direction="outbound", user=ADA)
    world.push("SenderTypingEnded")
    assert world.happened == [h.AgentTyping(on=True), h.AgentTyping(on=False)]


async def test_large_event_keeps_its_place(world: World) -> None:
    large: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    world.bodies["https://s3/1"] = large
    world.push("EventInS3", s3Object={"url": "https://s3/1"})
    world.say("two")
    await world.settle()
    assert world.texts == []
    large.set_result({"eventType": "MessageCreated", "data": {"message": a_message("one", "one")}})
    await world.settle()
    assert world.texts == ["one", "two"]


async def test_large_reply_is_delivered_at_once_while_pushes_are_held(world: World) -> None:
    body: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    world.bodies["https://s3/1"] = body
    body.set_result({"eventId": "e1", "postback": {"eventType": "ThreadRecovered", "data": {"a": 1}}})
    world.inbound.hold()
    world.push("EventInS3", s3Object={"url": "https://s3/1"})
    world.say("one")
    await world.settle()
    assert world.delivered == [Reply("e1", "ThreadRecovered", {"a": 1})]
    assert world.texts == []
    world.inbound.release()
    assert world.texts == ["one"]


async def test_large_event_that_fails_is_left_to_a_recovery_with_those_behind_it(world: World) -> None:
    failing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    failing.set_exception(HttpError("gone"))
    world.bodies["https://s3/1"] = failing
    world.push("EventInS3", s3Object={"url": "https://s3/1"})
    world.say("two")
    await world.settle()
    assert (world.texts, world.faults, world.reconnections) == ([], ["event_not_fetched"], 1)
    world.inbound.hold()
    await world.inbound.restore({}, [a_message("one", "one"), a_message("two", "two")])
    world.inbound.release()
    assert world.texts == ["one", "two"]


async def test_shortened_message_is_completed_in_its_place(world: World) -> None:
    whole: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    world.bodies["one"] = whole
    world.say("one", hasAdditionalMessageContent=True)
    world.say("two")
    await world.settle()
    assert world.texts == []
    whole.set_result(a_message("one", "all of one"))
    await world.settle()
    assert world.texts == ["all of one", "two"]


async def test_restored_state_comes_before_the_pushes_that_were_held(world: World) -> None:
    world.inbound.hold()
    world.say("new")
    world.say("old")
    state = {"contact": {"id": "7", "status": "open"}, "inboxAssignee": ADA}
    await world.inbound.restore(state, [a_message("old", "old")])
    world.inbound.release()
    assert isinstance(world.happened[0], h.AgentJoined)
    assert world.texts == ["old", "new"]


async def test_restored_contact_that_is_closed_ends_the_chat_after_its_messages(world: World) -> None:
    state = {"contact": {"id": "7", "status": "closed"}, "inboxAssignee": None}
    await world.inbound.restore(state, [a_message("one", "one")])
    await world.settle()
    assert [type(each) for each in world.happened] == [h.AgentLeft, h.AgentMessage, h.ContactClosed]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("MessageCreated", {}),
        ("MessageCreated", {"message": {"id": "1", "direction": "outbound"}}),
        ("CaseInboxAssigneeChanged", {"case": {"id": "7"}}),
        ("CaseInboxAssigneeChanged", {"case": {"id": "7"}, "inboxAssignee": {"firstName": "Eve"}}),
        ("SetPositionInQueue", {"positionInQueue": True}),
        ("SetPositionInQueue", {"positionInQueue": 0}),
    ],
)
async def test_incomplete_event_is_a_fault_and_nothing_else(world: World, kind: str, data: dict[str, Any]) -> None:
    world.push(kind, **data)
    assert (world.happened, world.faults) == ([], ["incomplete_event"])


async def test_unknown_event_is_ignored(world: World) -> None:
    for kind in ("FireProactiveAction", "CaseToRoutingQueueAssignmentChanged", "MessageUpdated"):
        world.push(kind, message={"id": "1"})
    assert (world.happened, world.faults) == ([], [])


async def test_closed_thread_fetches_nothing_more(world: World) -> None:
    never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    world.bodies |= {"https://s3/1": never, "one": never}
    world.say("one", hasAdditionalMessageContent=True)
    world.push("EventInS3", s3Object={"url": "https://s3/1"})
    await world.settle()
    world.inbound.close()
    await world.settle()
    assert never.cancelled()
