"""A patron chat in the forms that NICE does not document, and in races with the session id."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats.happenings import AgentTyping, ChannelFailed, ContactClosed
from sipbridge.chats.model import ChatRecord, DeliveryStatus
from sipbridge.chats.ports import Outgoing
from sipbridge.http import HttpClient
from tests.cxone.digital.patron.scripted import WAITING, says, scripted
from tests.store.chats.chats import make_chat

pytestmark = pytest.mark.usefixtures("quick")


def batch(session: str, *messages: object) -> tuple[int, object]:
    return 200, {"chatSession": session, "messages": messages}


async def test_batches_with_the_same_session_id_lose_nothing_and_double_nothing(http: HttpClient) -> None:
    batches = [batch("s1", says("one"), says("two")), batch("s1", says("three")), batch("s1", says("three"))]
    async with scripted(http, get=batches) as chat:
        await chat.until(lambda: len(chat.texts) == 4)
        assert chat.texts == ["one", "two", "three", "three"]
        last = chat.state
    async with scripted(http, state=last) as again:  # after a crash before the last batch was reported
        await again.until(lambda: len(again.requests) == 1)
        assert [each.message_id for each in again.messages] == [chat.messages[-1].message_id]


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("odd", [{"Text": "hi \ud83d"}, {"Label": "Ada \ud83d"}, {"\ud83d": 1}, {"Extra": nested(300)}])
async def test_state_of_a_chat_can_be_stored_whatever_cxone_sends(http: HttpClient, odd: dict[str, object]) -> None:
    async with scripted(http, get=[batch("s1", says("hi") | odd)]) as chat:
        await chat.until(lambda: bool(chat.texts))
        assert chat.texts in (["hi"], ["hi ?"])
        stored = make_chat(channel_state=chat.state).model_dump_json()
    async with scripted(http, state=ChatRecord.model_validate_json(stored).channel_state) as again:
        await again.until(lambda: bool(again.texts))
        assert again.messages[0].message_id == chat.messages[0].message_id
        assert again.texts == chat.texts


async def test_a_404_with_another_session_id_is_followed_once(http: HttpClient) -> None:
    polls = [
        (404, {"chatSession": "s1"}),
        batch("s2", says("hello")),
        (404, {"chatSession": "s3"}),
        (404, {"chatSession": "s4"}),
    ]
    async with scripted(http, get=polls) as chat:
        await chat.until(lambda: ContactClosed() in chat.happened)
        assert chat.requests == ["chats contacts", "get s0", "get s1", "get s2", "get s3"]
        assert chat.texts == ["hello"]


@pytest.mark.parametrize("poll", [(304, None), (200, {}), (200, "no object")])
async def test_polls_that_do_not_wait_are_not_repeated_without_a_pause(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch, poll: tuple[int, object]
) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr("sipbridge.cxone.digital.patron.connection.asyncio.sleep", sleep)
    async with scripted(http, get=[poll] * 3) as chat:
        async with asyncio.timeout(5):
            while len(chat.requests) < 5:
                await real(0.005)
        assert len([seconds for seconds in slept if seconds > 0]) >= 3


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ((202, {}), "start_unknown"),
        ((500, None), "start_unknown"),
        ((502, None), "start_unknown"),
        ((400, None), "refused"),
    ],
)
async def test_a_start_that_may_have_begun_is_not_repeated(
    http: HttpClient, start: tuple[int, object], reason: str
) -> None:
    async with scripted(http, chats=[start]) as chat:
        await chat.until(lambda: ChannelFailed(reason) in chat.happened)
        assert chat.requests == ["chats contacts"]


@pytest.mark.parametrize("label", ["Tom & Co", "Tom &amp; Co", " Tom &  Co "])
async def test_own_texts_are_known_by_their_label(http: HttpClient, label: str) -> None:
    polls = [batch("s1", WAITING), batch("s2", says("$Localized:ChatSessionEnded", label, "3"), says("hers"))]
    typing = {"Type": "AgentTyping", "IsTyping": "True", "Label": label, "PartyTypeId": "3"}
    async with scripted(http, get=[*polls, batch("s3", typing, says("last"))]) as chat:
        await chat.until(lambda: len(chat.texts) == 2)
        assert chat.texts == ["hers", "last"]
        assert not [each for each in chat.happened if isinstance(each, AgentTyping | ContactClosed | ChannelFailed)]


@pytest.mark.parametrize(
    ("value", "is_on"),
    [("True", True), ("true", True), (True, True), ("False", False), (False, False), (None, False), ("", False)],
)
async def test_typing_is_a_truth_value_or_its_text(http: HttpClient, value: object, *, is_on: bool) -> None:
    typing = {"Type": "AgentTyping", "IsTyping": value, "Label": "Ada", "PartyTypeId": "2"}
    async with scripted(http, get=[batch("s1", typing)]) as chat:
        await chat.until(lambda: any(isinstance(each, AgentTyping) for each in chat.happened))
        assert [each for each in chat.happened if isinstance(each, AgentTyping)] == [AgentTyping(is_on)]


async def test_a_busy_cxone_gets_a_text_again_and_another_error_leaves_its_fate_open(http: HttpClient) -> None:
    texts = [(503, None), (429, None), (202, None), (500, None)]
    async with scripted(http, get=[batch("s1", WAITING)], send_text=texts) as chat:
        async with asyncio.timeout(5):
            assert await chat.session.send(Outgoing("1", "one")) == (DeliveryStatus.DELIVERED, "")
            assert await chat.session.send(Outgoing("2", "two")) == (DeliveryStatus.UNKNOWN, "response_500")


async def test_the_end_uses_the_session_ids_that_come_meanwhile(http: HttpClient) -> None:
    """The closing text comes back in a poll, whose response brings another session id; so does what others write."""
    renewed = [asyncio.Event(), asyncio.Event()]
    polls = [batch("s1", WAITING), renewed[0], batch("s2", says("hers")), renewed[1], batch("s3", says("Bye"))]
    async with scripted(http, get=polls, delete=[(404, None), (404, None)]) as chat:
        await chat.until(lambda: "get s1" in chat.requests)
        ending = asyncio.create_task(chat.session.end("Bye"))
        for number, event in enumerate(renewed, 1):
            await chat.until(lambda wanted=f"delete s{number}": wanted in chat.requests)  # type: ignore[misc]
            event.set()
        await ending
        assert [each for each in chat.requests if each.startswith("delete")] == ["delete s1", "delete s2", "delete s3"]


async def test_the_chat_is_ended_even_if_its_closing_text_is_refused(http: HttpClient) -> None:
    async with scripted(http, get=[batch("s1", WAITING)], send_text=[(400, None)], delete=[(503, None)]) as chat:
        await chat.until(lambda: "get s1" in chat.requests)
        async with asyncio.timeout(5):
            await chat.session.end("Bye")
        assert chat.requests[-2:] == ["delete s1", "delete s1"]
