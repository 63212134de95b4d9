from __future__ import annotations

import asyncio

import pytest

from sipbridge.agents import presence
from sipbridge.agents.sip.conversation import SipConversation
from sipbridge.calls.ports import Conversation, ConversationEnd
from sipbridge.errors import AgentLost
from sipbridge.handoffs.record import HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.agents.sip.support import IDENTITY, Scene, soon
from tests.fakes import FakeLeg, FakeLiveCall
from tests.store.records import make_handoff


class Talk(Scene):
    """A connected agent and its caller."""

    agent_leg: FakeLeg
    conversation: SipConversation

    async def begin(self) -> asyncio.Task[ConversationEnd]:
        """Connect to the agent and run the conversation. Return the task of `run`."""
        await self.reach()
        self.call = FakeLiveCall()
        running = asyncio.create_task(self.conversation.run(self.call))
        await asyncio.sleep(0)
        return running

    async def reach(self) -> None:
        connecting = asyncio.create_task(self.agent.connect(IDENTITY, self.caller))
        self.agent_leg = await self.leg()
        self.agent_leg.far_end_answers()
        self.conversation = await connecting


async def _cancelled(running: asyncio.Task[ConversationEnd]) -> None:
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


# ------------------------------------------------------------ how it ends


async def test_a_plain_bye_ends_the_conversation() -> None:
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.far_end_hangs_up()
    assert await running == ConversationEnd(None)
    assert talk.caller.joined is None


async def test_a_bye_with_handoff_headers_hands_off() -> None:
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.far_end_hangs_up({"X-Handoff-Destination": "sales", "X-Handoff-P4": "4"})
    assert await running == ConversationEnd(HandoffRequest(destination="sales", parameters={"p4": "4"}))


@pytest.mark.parametrize(
    "headers", [{"X-Handoff-P10": "1"}, {"X-Handoff-Data": "{"}, {"X-Handoff-Reason": "x" * 100_000}]
)
async def test_an_unreadable_bye_still_hands_the_caller_off(headers: dict[str, str]) -> None:
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.far_end_hangs_up(headers)
    assert await running == ConversationEnd(HandoffRequest(reason="invalid_handoff"))
    assert talk.call.faults == ["bad_handoff"]


async def test_an_agent_that_hangs_up_without_sending_audio_is_lost() -> None:
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.far_end_hangs_up(heard=False)
    with pytest.raises(AgentLost, match="no audio"):
        await running


async def test_an_agent_that_stayed_without_sending_audio_may_end_the_conversation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "TRIAL_SECONDS", 0.0)
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.far_end_hangs_up(heard=False)
    assert await running == ConversationEnd(None)


async def test_an_agent_that_could_never_send_audio_is_lost_after_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "TRIAL_SECONDS", 0.0)
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.far_end_hangs_up(heard=False, audio_due=False)
    with pytest.raises(AgentLost, match="no audio"):
        await running


async def test_an_agent_that_could_never_send_audio_may_hand_off() -> None:
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.far_end_hangs_up({"X-Handoff-Reason": "asked"}, heard=False, audio_due=False)
    assert await running == ConversationEnd(HandoffRequest(reason="asked"))


async def test_an_agent_that_hangs_up_after_a_refused_refer_is_not_lost() -> None:
    talk = Talk()
    running = await talk.begin()
    assert talk.agent_leg.refer_handler is not None
    talk.agent_leg.refer_handler.rejected("Require names an extension that is not supported")
    talk.agent_leg.far_end_hangs_up(heard=False)
    assert await running == ConversationEnd(None)
    assert talk.call.refusals == ["Require names an extension that is not supported"]


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_an_agent_whose_leg_fails_is_lost(status: int) -> None:
    talk = Talk()
    running = await talk.begin()
    talk.agent_leg.stack_hangs_up(status)
    with pytest.raises(AgentLost, match=str(status)):
        await running
    assert talk.caller.joined is None


async def test_an_agent_whose_leg_was_ended_by_us_is_lost() -> None:
    talk = Talk()
    running = await talk.begin()
    await talk.agent_leg.hang_up()
    with pytest.raises(AgentLost):
        await running


async def test_the_bye_of_an_agent_before_the_conversation_counts() -> None:
    talk = Talk()
    await talk.reach()
    talk.agent_leg.far_end_hangs_up({"X-Handoff-Reason": "asked"})
    end = await talk.conversation.run(FakeLiveCall())
    assert end == ConversationEnd(HandoffRequest(reason="asked"))


async def test_cancelling_separates_the_two_legs() -> None:
    talk = Talk()
    running = await talk.begin()
    assert talk.caller.joined is talk.agent_leg
    await _cancelled(running)
    assert talk.caller.joined is None


# ------------------------------------------------------------ silence


async def test_an_agent_that_never_sends_rtp_is_lost() -> None:
    talk = Talk(silence_timeout_seconds=0.05)
    running = await talk.begin()
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_an_agent_that_stops_sending_rtp_is_lost() -> None:
    talk = Talk(silence_timeout_seconds=0.1)
    running = await talk.begin()
    began = asyncio.get_running_loop().time()
    talk.agent_leg.packets = 50
    with pytest.raises(AgentLost, match="silent"):
        await running
    assert asyncio.get_running_loop().time() - began > 0.1


async def _looked_at(leg: FakeLeg, times: int, *, packets: list[int | None]) -> None:
    """Return when `packets_received` was called that often. It returns these values, then the last one."""
    enough = asyncio.Event()
    asked = 0

    async def count() -> int | None:
        nonlocal asked
        asked += 1
        if asked >= times:
            enough.set()
        return packets[min(asked, len(packets)) - 1]

    leg.packets_received = count  # type: ignore[method-assign]
    await soon(enough.wait())


async def test_an_agent_that_sends_rtp_is_not_lost() -> None:
    talk = Talk(silence_timeout_seconds=0.1)
    running = await talk.begin()
    await _looked_at(talk.agent_leg, 8, packets=list(range(1, 9)))
    assert not running.done()
    await _cancelled(running)


async def test_an_agent_on_hold_may_be_silent() -> None:
    talk = Talk(silence_timeout_seconds=0.1)
    running = await talk.begin()
    await _looked_at(talk.agent_leg, 8, packets=[7, None])
    assert not running.done()
    await _cancelled(running)


async def test_without_a_silence_timeout_rtp_is_not_watched() -> None:
    talk = Talk(silence_timeout_seconds=None)

    async def unwanted() -> int | None:
        raise AssertionError

    running = await talk.begin()
    talk.agent_leg.packets_received = unwanted  # type: ignore[method-assign]
    talk.agent_leg.far_end_hangs_up()
    assert (await running).handoff is None


async def test_the_bye_of_an_agent_counts_while_its_rtp_is_checked() -> None:
    talk = Talk(silence_timeout_seconds=0.05)

    async def goes() -> int | None:
        talk.agent_leg.far_end_hangs_up()
        return await FakeLeg.packets_received(talk.agent_leg)

    running = await talk.begin()
    talk.agent_leg.packets_received = goes  # type: ignore[method-assign]
    assert await running == ConversationEnd(None)


# ------------------------------------------------------------ keys


async def test_dtmf_digits_are_relayed_in_both_directions() -> None:
    talk = Talk()
    running = await talk.begin()
    for digit in "42#":
        talk.agent_leg.far_end_presses(digit)
    talk.conversation.press("*")
    talk.conversation.press("D")
    assert talk.caller.digits == "42#"
    assert talk.agent_leg.digits == "*D"
    await _cancelled(running)
    talk.agent_leg.far_end_presses("9")
    assert talk.caller.digits == "42#"


# ------------------------------------------------------------ a handoff while it stays


async def test_a_refer_hands_off_and_its_notify_precedes_the_bye() -> None:
    talk = Talk()
    running = await talk.begin()
    assert talk.agent_leg.far_end_refers("<sip:sales@h?X-Handoff-Reason=asked>") == 202
    assert talk.call.requests == [(HandoffRequest(destination="sales", reason="asked"), "agent")]
    assert not running.done()
    await talk.conversation.finish_speaking()
    await _cancelled(running)
    handoff = make_handoff().model_copy(update={"state": HandoffState.COMPLETED, "confirmed": True})
    await talk.conversation.close(handoff)
    assert talk.journal.only("agent1")[-3:] == ["agent1.fall_silent", "agent1.notify 200", "agent1.hang_up"]


async def test_a_refer_before_the_caller_is_answered_is_not_lost() -> None:
    talk = Talk()
    await talk.reach()
    assert talk.agent_leg.far_end_refers("<sip:sales@h>") == 202
    call = FakeLiveCall()
    running = asyncio.create_task(talk.conversation.run(call))
    await asyncio.sleep(0)
    assert call.requests == [(HandoffRequest(destination="sales"), "agent")]
    await _cancelled(running)


async def test_an_agent_that_leaves_after_its_202_is_still_notified() -> None:
    talk = Talk()
    running = await talk.begin()
    assert talk.agent_leg.far_end_refers("<sip:sales@h>") == 202
    talk.agent_leg.far_end_hangs_up()
    assert await running == ConversationEnd(None)
    await talk.conversation.finish_speaking()
    handoff = make_handoff().model_copy(update={"state": HandoffState.FAILED, "transfer": "released"})
    await talk.conversation.close(handoff)
    assert talk.agent_leg.notified == [(503, "Service Unavailable")]
    assert talk.agent_leg.hang_ups == []


# ------------------------------------------------------------ hanging up


async def test_closing_hangs_up_once() -> None:
    talk = Talk()
    await talk.reach()
    await talk.conversation.close(None)
    await talk.conversation.close(None)
    assert talk.agent_leg.hang_ups == [200]
    assert talk.agent_leg.notified == []


async def test_closing_does_not_wait_long_for_an_unresponsive_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.agents.sip.conversation.CLOSE_SECONDS", 0.01)
    talk = Talk()
    await talk.reach()
    ending = talk.journal.hold("agent1.hang_up")
    await soon(talk.conversation.close(None))
    assert not talk.agent_leg.ended.done()
    ending.set()
    await soon(asyncio.shield(talk.agent_leg.ended))


def _implements(conversation: SipConversation) -> Conversation:
    return conversation
