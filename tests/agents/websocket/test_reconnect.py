"""The loss of an agent's socket, and the next one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from sipbridge.agents.websocket import conversation
from sipbridge.calls.endings import AGENT_ENDED
from sipbridge.errors import AgentLost

from .support import FRAME, AgentSocket, Site


class Delays:
    """The delays before reconnects: recorded, without waiting."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self._delays = conversation.RECONNECT_DELAYS

    def __iter__(self) -> Iterator[float]:
        for delay in self._delays:
            self.waited.append(delay)
            yield 0.0


@pytest.fixture(autouse=True)
def delays(monkeypatch: pytest.MonkeyPatch) -> Delays:
    delays = Delays()
    monkeypatch.setattr(conversation, "RECONNECT_DELAYS", delays)
    return delays


async def _reconnected(site: Site) -> tuple[AgentSocket, dict[str, object]]:
    agent = await site.server.accept()
    return agent, await agent.begin()


async def _lose_socket(site: Site, agent: AgentSocket) -> None:
    """Drop the agent's socket and reject new ones."""
    site.server.refusing = 503
    agent.hang_up()
    await site.server.wait_for_attempts(3)


async def test_an_agent_that_closes_at_once_after_a_reconnect_is_lost(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    agent.hang_up()
    agent, _ = await _reconnected(site)
    agent.hang_up(1000)
    with pytest.raises(AgentLost):
        await running


@pytest.mark.parametrize("code", [None, 1001, 1011, 1012, 4000])
async def test_a_dropped_socket_is_reopened_at_once(site: Site, delays: Delays, code: int | None) -> None:
    _, running, agent = await site.start_stream()
    agent.hang_up(code)
    await _reconnected(site)
    assert delays.waited == [0.0]
    assert site.call.faults == ["reconnected"]
    assert not running.done()


async def test_a_new_socket_has_a_new_stream_numbered_from_the_beginning(site: Site) -> None:
    _, _, agent = await site.start_stream()
    site.audio.turn()
    await agent.next("media")
    first = agent.stream_sid
    agent.hang_up(1012)
    agent, start = await _reconnected(site)
    assert start["sequenceNumber"] == "1"
    assert agent.stream_sid != first
    site.audio.turn()
    message = await agent.next("media")
    assert message["sequenceNumber"] == "2"
    assert (message["media"]["chunk"], message["media"]["timestamp"]) == ("1", "0")


async def test_queued_audio_plays_on_after_a_reconnect_without_its_marks(site: Site) -> None:
    _, _, agent = await site.start_stream()
    agent.send_audio(FRAME * 2)
    agent.send_event("mark", mark={"name": "of the old stream"})
    await agent.settle()
    agent.hang_up(1012)
    agent, _ = await _reconnected(site)
    agent.send_audio(FRAME)
    agent.send_event("mark", mark={"name": "of the new stream"})
    await agent.settle()
    assert site.audio.audio == FRAME * 3
    assert site.audio.clears == 0
    for _ in range(2):
        site.audio.turn()
        await agent.next("media")
    await agent.settle()
    assert agent.unread.empty()
    site.audio.turn()
    await agent.next("media")
    assert (await agent.next("mark"))["mark"]["name"] == "of the new stream"


async def test_audio_and_digits_are_dropped_while_the_socket_is_down(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "RECONNECT_DELAYS", itertools.repeat(0.0))
    talking, _, agent = await site.start_stream()
    await _lose_socket(site, agent)
    site.audio.turn(b"\x01" * 160)
    talking.send_digit("1")
    site.server.refusing = None
    agent, _ = await _reconnected(site)
    await agent.settle()
    assert agent.unread.empty()


async def test_a_dtmf_digit_sent_before_the_stream_begins_follows_its_start(site: Site) -> None:
    talking, agent = await site.connect()
    talking.send_digit("5")
    running = asyncio.ensure_future(talking.run(site.call))
    await agent.begin()
    assert (await agent.next("dtmf"))["dtmf"]["digit"] == "5"
    running.cancel()


async def test_a_message_with_the_old_stream_sid_names_a_wrong_stream(site: Site) -> None:
    _, _, agent = await site.start_stream()
    old = agent.stream_sid
    agent.hang_up(1012)
    agent, _ = await _reconnected(site)
    agent.stream_sid = old
    agent.send_event("clear")
    await agent.settle()
    assert site.call.faults == ["reconnected", "wrong_stream"]


async def test_an_agent_is_lost_after_four_failed_reconnects(site: Site, delays: Delays) -> None:
    talking, running, agent = await site.start_stream()
    site.server.refusing = 503
    agent.hang_up()
    with pytest.raises(AgentLost, match="503"):
        await running
    assert delays.waited == [0.0, 1.0, 2.0, 4.0]
    assert site.server.attempts == 5
    assert site.call.faults == []
    await talking.finish_speaking()
    assert site.audio.closed


async def test_a_socket_that_drops_again_soon_continues_the_series_of_delays(site: Site, delays: Delays) -> None:
    _, running, agent = await site.start_stream()
    for _ in range(4):
        agent.hang_up()
        agent, _ = await _reconnected(site)
    agent.hang_up()
    with pytest.raises(AgentLost, match="dropped repeatedly"):
        await running
    assert delays.waited == [0.0, 1.0, 2.0, 4.0]


async def test_a_socket_that_lasted_restarts_the_series_of_delays(
    site: Site, delays: Delays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "STEADY_SECONDS", 0.0)
    _, running, agent = await site.start_stream()
    for _ in range(6):
        agent.hang_up()
        agent, _ = await _reconnected(site)
    assert delays.waited == [0.0] * 6
    assert not running.done()


async def test_a_socket_lost_during_ringing_is_reopened_at_the_answer(site: Site) -> None:
    talking, agent = await site.connect()
    agent.hang_up()
    await agent.closed
    running = asyncio.ensure_future(talking.run(site.call))
    agent, _ = await _reconnected(site)
    agent.send_audio(FRAME)
    agent.hang_up(1000)
    assert (await running).ending is AGENT_ENDED


async def test_cancelling_while_the_socket_is_down_releases_the_agent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "RECONNECT_DELAYS", itertools.repeat(0.0))
    talking, running, agent = await site.start_stream()
    await _lose_socket(site, agent)
    running.cancel()
    await asyncio.wait([running])
    await talking.close(None)
    assert site.audio.closed
