from __future__ import annotations

import time
from collections.abc import Callable

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.automatic import Automatic, AutomaticAgents
from sipbridge.simulators.cxone.digital.conversation import Conversation, State
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.events import AgentTyping, Event
from sipbridge.simulators.cxone.digital.messages import Content, Customer

ADA, BEN, _ = DEMO_AGENTS


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def automatic(desk: Desk) -> AutomaticAgents:
    return AutomaticAgents(desk)


def opened(desk: Desk, channel: str = "web") -> Conversation:
    return desk.open("dfo", channel=channel, thread_id="t", customer=Customer("c"))


async def until(desk: Desk, holds: Callable[[], bool]) -> None:
    await desk.waiters.wait_until(holds, lambda *_: True, 5)
    assert holds()


def said(chat: Conversation) -> list[str]:
    return [message.content.text for message in chat.messages if message.author]


async def test_an_automatic_agent_accepts_and_greets(desk: Desk, automatic: AutomaticAgents) -> None:
    automatic.add(Automatic(agent=BEN.id, greeting="Hello {number}"))
    chat = opened(desk)
    assert chat.state is State.WAITING
    await until(desk, lambda: said(chat) == ["Hello 1"])
    assert chat.agent == BEN


async def test_an_automatic_agent_accepts_after_a_time(desk: Desk, automatic: AutomaticAgents) -> None:
    automatic.add(Automatic(accept_after_seconds=0.1))
    started_at = time.monotonic()
    chat = opened(desk)
    await until(desk, lambda: chat.agent == ADA)
    assert time.monotonic() - started_at >= 0.1


async def test_an_automatic_agent_echoes_the_messages_before_and_after_it_accepts(
    desk: Desk, automatic: AutomaticAgents
) -> None:
    automatic.add(Automatic(reply="{text}!", typing=True))
    chat = opened(desk)
    seen: list[Event] = []
    chat.listeners.append(lambda _, event: seen.append(event))
    chat.receive(Content.of_text("one"))
    chat.receive(Content.of_text("welcome"), direction="outbound")
    await until(desk, lambda: said(chat) == ["one!"])
    chat.receive(Content.of_text("two"))
    await until(desk, lambda: said(chat) == ["one!", "two!"])
    assert [event.on for event in seen if isinstance(event, AgentTyping)] == [True, False, True, False]


async def test_a_person_can_accept_for_an_automatic_agent(desk: Desk, automatic: AutomaticAgents) -> None:
    automatic.add(Automatic(accept_after_seconds=None, reply="{text}"))
    chat = opened(desk)
    chat.receive(Content.of_text("one"))
    await desk.waiters.wait_until(lambda: bool(said(chat)), lambda *_: True, 0.05)
    chat.accept(BEN)
    await until(desk, lambda: said(chat) == ["one"])


async def test_an_automatic_agent_repeats_with_number_and_time(desk: Desk, automatic: AutomaticAgents) -> None:
    automatic.add(Automatic(repeat="{number} {time}", repeat_seconds=0.01))
    chat = opened(desk)
    await until(desk, lambda: len(said(chat)) == 3)
    numbers, times = zip(*(text.split() for text in said(chat)), strict=True)
    assert numbers == ("1", "2", "3")
    assert all(abs(float(each) - time.time()) < 60 for each in times)


async def test_an_automatic_agent_closes_after_its_messages(desk: Desk, automatic: AutomaticAgents) -> None:
    automatic.add(Automatic(reply="{text}", close_after_messages=2))
    chat = opened(desk)
    for text in ("one", "two", "three"):
        chat.receive(Content.of_text(text))
    await until(desk, lambda: chat.state is State.CLOSED)
    assert (said(chat), chat.closed_by) == (["one", "two"], "agent")


async def test_the_first_behaviour_that_matches_applies(desk: Desk, automatic: AutomaticAgents) -> None:
    automatic.add(Automatic(channel="web", greeting="first"))
    automatic.add(Automatic(greeting="second"))
    automatic.add(Automatic(kind="dfo", greeting="third"))
    first, second = opened(desk), opened(desk, "other")
    await until(desk, lambda: (said(first), said(second)) == (["first"], ["second"]))


async def test_no_automatic_agent_acts_after_clearing(desk: Desk, automatic: AutomaticAgents) -> None:
    automatic.add(Automatic(accept_after_seconds=0.01))
    chat = opened(desk)
    automatic.clear()
    later = opened(desk)
    await desk.waiters.wait_until(lambda: bool(chat.agent or later.agent), lambda *_: True, 0.05)
    assert (chat.state, later.state) == (State.WAITING, State.WAITING)


async def test_behaviours_are_added_listed_and_deleted_over_http(http: aiohttp.ClientSession) -> None:
    path = "/simulator/desk/automatic"
    async with http.post(path, json={"channel": "web", "reply": "{text}"}) as response:
        assert response.status == 201
    async with http.get(path) as response:
        assert await response.json() == {"automatic": [{"channel": "web", "reply": "{text}"}]}
    async with http.post(path, json={"agent": 7}) as response:
        assert response.status == 409
    async with http.delete(path) as response:
        assert response.status == 204
    async with http.get(path) as response:
        assert await response.json() == {"automatic": []}
