"""The end of a conversation, the loss of its socket, and its cancellation."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Iterator

import pytest
from picows import WSMsgType

from sipbridge.agents import presence
from sipbridge.agents.websocket import conversation
from sipbridge.calls.endings import AGENT_ENDED
from sipbridge.errors import AgentLost, LegEnded
from sipbridge.handoffs.record import HandoffState
from tests.store.records import make_handoff

from .support import FRAME, AgentSocket, Site

RETURNED = make_handoff(state=HandoffState.FAILED, transfer="taken_back", taken_back=True)


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


# ------------------------------------------------------------ it begins


async def test_the_callers_audio_from_before_the_stream_is_sent_at_its_start(site: Site) -> None:
    early = [bytes([number]) * 160 for number in (1, 2)]
    site.leg.early_audio = early
    _, _, agent = await site.start_stream()
    site.audio.turn(FRAME)
    media = [(await agent.next("media"))["media"] for _ in range(3)]
    assert [base64.b64decode(each["payload"]) for each in media] == [*early, FRAME]
    assert [each["timestamp"] for each in media] == ["0", "20", "40"]


# ------------------------------------------------------------ the agent ends it


async def test_an_agent_that_closes_with_1000_ends_the_conversation(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    agent.hang_up(1000)
    end = await running
    assert (end.handoff, end.ending) == (None, AGENT_ENDED)
    assert await agent.closed == 1000
    assert site.audio.closed


async def test_an_agent_that_closes_without_a_code_ends_the_conversation(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    agent.hang_up_without_code()
    assert (await running).ending is AGENT_ENDED
    assert site.server.attempts == 1


async def test_an_agent_that_closes_during_ringing_is_lost_at_the_answer(site: Site) -> None:
    talking, agent = await site.connect()
    agent.hang_up(1000)
    await agent.closed
    with pytest.raises(AgentLost):
        await talking.run(site.call)


async def test_an_agent_that_closes_at_once_and_has_sent_nothing_is_lost(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.hang_up(1000)
    with pytest.raises(AgentLost, match="had sent no audio"):
        await running


@pytest.mark.parametrize(
    ("event", "fields"), [("clear", {}), ("mark", {"mark": {"name": "m"}}), ("media", {"media": {"payload": ""}})]
)
async def test_an_agent_that_closes_at_once_and_has_sent_no_audio_is_lost(
    site: Site, event: str, fields: dict[str, object]
) -> None:
    _, running, agent = await site.start_stream()
    agent.send_event(event, **fields)
    agent.hang_up(1000)
    with pytest.raises(AgentLost, match="no audio"):
        await running


@pytest.mark.parametrize("message", [b'{"event":"handoff","handoff":{"data":NaN}}', b'{"event":"handoff","handoff":7}'])
async def test_an_agent_that_closes_at_once_after_a_refused_handoff_is_not_lost(site: Site, message: bytes) -> None:
    _, running, agent = await site.start_stream()
    agent.transport.send(WSMsgType.TEXT, message)
    agent.hang_up(1000)
    assert (await running).ending is AGENT_ENDED
    assert len(site.call.refusals) == 1


async def test_an_agent_that_stayed_without_sending_audio_may_end_the_conversation(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "TRIAL_SECONDS", 0.0)
    _, running, agent = await site.start_stream()
    agent.hang_up(1000)
    assert (await running).ending is AGENT_ENDED


async def test_an_agent_that_closes_at_once_after_a_reconnect_is_lost(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    agent.hang_up()
    agent, _ = await _reconnected(site)
    agent.hang_up(1000)
    with pytest.raises(AgentLost):
        await running


# ------------------------------------------------------------ the socket is lost


async def _reconnected(site: Site) -> tuple[AgentSocket, dict[str, object]]:
    agent = await site.server.accept()
    return agent, await agent.begin()


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


async def _lose_socket(site: Site, agent: AgentSocket) -> None:
    """Drop the agent's socket and reject new ones."""
    site.server.refusing = 503
    agent.hang_up()
    await site.server.wait_for_attempts(3)


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
    _, running, agent = await site.start_stream()
    site.server.refusing = 503
    agent.hang_up()
    with pytest.raises(AgentLost, match="503"):
        await running
    assert delays.waited == [0.0, 1.0, 2.0, 4.0]
    assert site.server.attempts == 5
    assert site.audio.closed
    assert site.call.faults == []


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


# ------------------------------------------------------------ silence


async def test_a_silent_agent_is_lost(site: Site) -> None:
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.05)
    with pytest.raises(AgentLost, match="silent"):
        await running
    await agent.next("stop")
    assert await agent.closed == 1000
    assert site.server.attempts == 1


@pytest.mark.parametrize("event", ["clear", "an event of its own"])
async def test_a_message_ends_the_silence(site: Site, event: str) -> None:
    loop = asyncio.get_running_loop()
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.5)
    await asyncio.wait([running], timeout=0.1)
    said_at = loop.time()
    agent.send_event(event)
    with pytest.raises(AgentLost, match="silent"):
        await running
    assert loop.time() - said_at >= 0.5


async def test_an_unusable_message_does_not_end_the_silence(site: Site) -> None:
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.1)
    while not running.done():
        agent.send({"event": "clear", "streamSid": "of another stream"})
        await asyncio.wait([running], timeout=0.01)
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_an_agent_whose_audio_is_playing_is_not_silent(site: Site) -> None:
    loop = asyncio.get_running_loop()
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.05)
    said_at = loop.time()
    agent.send_audio(b"a" * 1600)  # 0.2 s
    await agent.settle()
    while not running.done():
        site.audio.turn()
        await asyncio.wait([running], timeout=0.02)
    with pytest.raises(AgentLost, match="silent"):
        await running
    assert loop.time() - said_at >= 0.25


async def test_an_agent_with_audio_queued_during_a_hold_is_not_silent(site: Site) -> None:
    _, running, agent = await site.start_stream(silence_timeout_seconds=0.05)
    agent.send_audio(FRAME)
    await agent.settle()
    await asyncio.wait([running], timeout=0.2)
    assert not running.done()
    site.audio.turn()
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_without_a_silence_timeout_an_agent_may_be_silent(site: Site) -> None:
    _, running, _ = await site.start_stream(silence_timeout_seconds=None)
    await asyncio.wait([running], timeout=0.1)
    assert not running.done()


# ------------------------------------------------------------ the bridge closes it


async def test_cancelling_sends_stop_and_closes_the_audio(site: Site) -> None:
    talking, running, agent = await site.start_stream()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert site.audio.closed
    stop = await agent.next("stop")
    assert stop["stop"]["callSid"] == f"CA{site.call.record.call_id}"
    assert await agent.closed == 1000
    await talking.close(None)
    await talking.close(None)


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


async def test_a_conversation_that_never_ran_is_closed_without_a_stop(site: Site) -> None:
    talking, agent = await site.connect()
    await talking.close(None)
    await talking.close(None)
    assert await agent.closed == 1000
    assert agent.unread.empty()


async def test_the_socket_is_closed_if_the_caller_hangs_up_before_the_audio_is_open(site: Site) -> None:
    talking, agent = await site.connect()
    site.leg.far_end_hangs_up()
    with pytest.raises(LegEnded):
        await talking.run(site.call)
    assert await agent.closed == 1000


async def test_speaking_finishes_when_all_audio_was_played(site: Site) -> None:
    talking, _, agent = await site.start_stream()
    agent.send_audio(FRAME * 2)
    await agent.settle()
    finishing = asyncio.ensure_future(talking.finish_speaking())
    site.audio.turn()
    await agent.settle()
    assert not finishing.done()
    site.audio.turn()
    await finishing


async def test_an_agent_without_audio_has_finished_speaking(site: Site) -> None:
    talking, _ = await site.connect()
    await talking.finish_speaking()


# ------------------------------------------------------------ a returned caller


async def test_a_muted_agent_neither_hears_nor_speaks_and_its_marks_come_back(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    assert await conversation.mute(make_handoff(requested_by="agent"))
    agent.send_audio(FRAME)
    agent.send_event("mark", mark={"name": "unheard"})
    assert (await agent.next("mark"))["mark"]["name"] == "unheard"
    site.audio.turn()
    await conversation.unmute()
    conversation.report(RETURNED)
    assert (await agent.next("handoff"))["handoff"] == {
        "id": site.call.record.call_id,
        "state": "handoff_failed",
        "reason": "taken_back",
    }
    site.audio.turn(b"\x11" * 160)
    assert await agent.next("media")
    agent.send_audio(FRAME)
    await agent.settle()
    assert site.audio.played < len(site.audio.audio)


async def test_pending_marks_come_back_when_the_agent_is_muted(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    agent.send_audio(FRAME * 2)
    agent.send_event("mark", mark={"name": "pending"})
    await agent.settle()
    assert agent.unread.empty()
    await conversation.mute(make_handoff(requested_by="agent"))
    await agent.settle()
    assert not agent.unread.empty()
    assert (await agent.next("mark"))["mark"]["name"] == "pending"


async def test_an_agent_that_did_not_request_the_handoff_is_notified_of_it(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    await conversation.mute(make_handoff(requested_by="api"))
    assert (await agent.next("handoff"))["handoff"] == {
        "id": site.call.record.call_id,
        "state": "handoff_initiated",
    }


async def test_timestamps_go_on_while_the_agent_is_muted(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    await conversation.mute(make_handoff(requested_by="agent"))
    await asyncio.sleep(0.1)
    await conversation.unmute()
    site.audio.turn()
    assert int((await agent.next("media"))["media"]["timestamp"]) >= 100


async def test_a_muted_agent_may_be_silent_for_any_time(site: Site) -> None:
    conversation, running, _ = await site.start_stream(silence_timeout_seconds=0.05)
    await conversation.mute(make_handoff(requested_by="agent"))
    done, _ = await asyncio.wait([running], timeout=0.3)
    assert not done
    await conversation.unmute()
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_an_agent_whose_connection_dropped_on_hold_is_notified_by_the_next_one(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    await conversation.mute(make_handoff(requested_by="agent"))
    agent.hang_up()
    again = await site.server.accept()
    await again.begin()
    await conversation.unmute()
    conversation.report(RETURNED)
    assert (await again.next("handoff"))["handoff"]["state"] == "handoff_failed"


async def test_an_agent_without_a_stream_is_notified_once_it_has_one(site: Site) -> None:
    conversation, agent = await site.connect()
    assert not await conversation.mute(make_handoff())
    with pytest.raises(LegEnded):
        await conversation.unmute()
    conversation.report(RETURNED)
    running = asyncio.ensure_future(conversation.run(site.call))
    await agent.begin()
    assert (await agent.next("handoff"))["handoff"]["state"] == "handoff_failed"
    running.cancel()
