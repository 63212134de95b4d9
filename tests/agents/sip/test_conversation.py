from __future__ import annotations

import asyncio

import pytest

from sipbridge.agents import presence
from sipbridge.agents.sip.conversation import SipConversation
from sipbridge.calls.ports.agents import Conversation, ConversationEnd
from sipbridge.errors import AgentLost
from sipbridge.handoffs.record import HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.agents.sip.support import IDENTITY, World, soon
from tests.fakes import FakeLeg, FakeLiveCall
from tests.store.records import make_handoff


class Setup(World):
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


# ------------------------------------------------------------ the end of a conversation


async def test_a_plain_bye_ends_the_conversation() -> None:
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up()
    assert await running == ConversationEnd(None)
    assert setup.caller.joined is None


async def test_a_bye_with_handoff_headers_hands_off() -> None:
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up({"X-Handoff-Destination": "sales", "X-Handoff-P4": "4"})
    assert await running == ConversationEnd(HandoffRequest(destination="sales", parameters={"p4": "4"}))


@pytest.mark.parametrize(
    "headers", [{"X-Handoff-P10": "1"}, {"X-Handoff-Data": "{"}, {"X-Handoff-Reason": "x" * 100_000}]
)
async def test_an_unreadable_bye_still_hands_the_caller_off(headers: dict[str, str]) -> None:
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up(headers)
    assert await running == ConversationEnd(HandoffRequest(reason="invalid_handoff"))
    assert setup.call.faults == ["bad_handoff"]


async def test_an_agent_that_hangs_up_without_sending_audio_is_lost() -> None:
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up(heard=False)
    with pytest.raises(AgentLost, match="no audio"):
        await running


async def test_an_agent_that_stayed_without_sending_audio_may_end_the_conversation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "TRIAL_SECONDS", 0.0)
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up(heard=False)
    assert await running == ConversationEnd(None)


async def test_an_agent_that_could_never_send_audio_is_lost_after_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "TRIAL_SECONDS", 0.0)
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up(heard=False, audio_due=False)
    with pytest.raises(AgentLost, match="no audio"):
        await running


async def test_an_agent_that_could_never_send_audio_may_hand_off() -> None:
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up({"X-Handoff-Reason": "asked"}, heard=False, audio_due=False)
    assert await running == ConversationEnd(HandoffRequest(reason="asked"))


async def test_an_agent_that_hangs_up_after_a_refused_refer_is_not_lost() -> None:
    setup = Setup()
    running = await setup.begin()
    assert setup.agent_leg.refer_handler is not None
    setup.agent_leg.refer_handler.rejected("Require names an extension that is not supported")
    setup.agent_leg.far_end_hangs_up(heard=False)
    assert await running == ConversationEnd(None)
    assert setup.call.refusals == ["Require names an extension that is not supported"]


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_an_agent_whose_leg_fails_is_lost(status: int) -> None:
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.stack_hangs_up(status)
    with pytest.raises(AgentLost, match=str(status)):
        await running
    assert setup.caller.joined is None


async def test_an_agent_whose_leg_was_ended_by_us_is_lost() -> None:
    setup = Setup()
    running = await setup.begin()
    await setup.agent_leg.hang_up()
    with pytest.raises(AgentLost):
        await running


async def test_the_bye_of_an_agent_before_the_conversation_counts() -> None:
    setup = Setup()
    await setup.reach()
    setup.agent_leg.far_end_hangs_up({"X-Handoff-Reason": "asked"})
    end = await setup.conversation.run(FakeLiveCall())
    assert end == ConversationEnd(HandoffRequest(reason="asked"))


async def test_cancelling_separates_the_two_legs() -> None:
    setup = Setup()
    running = await setup.begin()
    assert setup.caller.joined is setup.agent_leg
    await _cancelled(running)
    assert setup.caller.joined is None


# ------------------------------------------------------------ silence


async def test_an_agent_that_never_sends_rtp_is_lost() -> None:
    setup = Setup(silence_timeout_seconds=0.05)
    running = await setup.begin()
    with pytest.raises(AgentLost, match="silent"):
        await running


async def test_an_agent_that_stops_sending_rtp_is_lost() -> None:
    setup = Setup(silence_timeout_seconds=0.1)
    running = await setup.begin()
    began = asyncio.get_running_loop().time()
    setup.agent_leg.packets = 50
    with pytest.raises(AgentLost, match="silent"):
        await running
    assert asyncio.get_running_loop().time() - began > 0.1


async def _polled(leg: FakeLeg, times: int, *, packets: list[int | None]) -> None:
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
    setup = Setup(silence_timeout_seconds=0.1)
    running = await setup.begin()
    await _polled(setup.agent_leg, 8, packets=list(range(1, 9)))
    assert not running.done()
    await _cancelled(running)


async def test_an_agent_on_hold_may_be_silent() -> None:
    setup = Setup(silence_timeout_seconds=0.1)
    running = await setup.begin()
    await _polled(setup.agent_leg, 8, packets=[7, None])
    assert not running.done()
    await _cancelled(running)


async def test_without_a_silence_timeout_rtp_is_not_watched() -> None:
    setup = Setup(silence_timeout_seconds=None)

    async def unexpected() -> int | None:
        raise AssertionError

    running = await setup.begin()
    setup.agent_leg.packets_received = unexpected  # type: ignore[method-assign]
    setup.agent_leg.far_end_hangs_up()
    assert (await running).handoff is None


async def test_the_bye_of_an_agent_counts_while_its_rtp_is_checked() -> None:
    setup = Setup(silence_timeout_seconds=0.05)

    async def hang_up_during_check() -> int | None:
        setup.agent_leg.far_end_hangs_up()
        return await FakeLeg.packets_received(setup.agent_leg)

    running = await setup.begin()
    setup.agent_leg.packets_received = hang_up_during_check  # type: ignore[method-assign]
    assert await running == ConversationEnd(None)


# ------------------------------------------------------------ DTMF digits


async def test_dtmf_digits_are_relayed_in_both_directions() -> None:
    setup = Setup()
    running = await setup.begin()
    for digit in "42#":
        setup.agent_leg.far_end_sends_digit(digit)
    setup.conversation.send_digit("*")
    setup.conversation.send_digit("D")
    assert setup.caller.digits == "42#"
    assert setup.agent_leg.digits == "*D"
    await _cancelled(running)
    setup.agent_leg.far_end_sends_digit("9")
    assert setup.caller.digits == "42#"


# ------------------------------------------------------------ handoffs by REFER


async def test_a_refer_hands_off_and_its_notify_precedes_the_bye() -> None:
    setup = Setup()
    running = await setup.begin()
    assert setup.agent_leg.far_end_refers("<sip:sales@h?X-Handoff-Reason=asked>") == 202
    assert setup.call.requests == [(HandoffRequest(destination="sales", reason="asked"), "agent")]
    assert not running.done()
    await setup.conversation.finish_speaking()
    await _cancelled(running)
    handoff = make_handoff().model_copy(update={"state": HandoffState.COMPLETED, "confirmed": True})
    await setup.conversation.close(handoff)
    assert setup.journal.only("agent1")[-3:] == ["agent1.wait_for_silence", "agent1.notify 200", "agent1.hang_up"]


async def test_a_refer_before_the_caller_is_answered_is_not_lost() -> None:
    setup = Setup()
    await setup.reach()
    assert setup.agent_leg.far_end_refers("<sip:sales@h>") == 202
    call = FakeLiveCall()
    running = asyncio.create_task(setup.conversation.run(call))
    await asyncio.sleep(0)
    assert call.requests == [(HandoffRequest(destination="sales"), "agent")]
    await _cancelled(running)


async def test_an_agent_that_hangs_up_after_its_202_still_gets_the_notify() -> None:
    setup = Setup()
    running = await setup.begin()
    assert setup.agent_leg.far_end_refers("<sip:sales@h>") == 202
    setup.agent_leg.far_end_hangs_up()
    assert await running == ConversationEnd(None)
    await setup.conversation.finish_speaking()
    handoff = make_handoff().model_copy(update={"state": HandoffState.FAILED, "transfer": "released"})
    await setup.conversation.close(handoff)
    assert setup.agent_leg.notified == [(503, "Service Unavailable")]
    assert setup.agent_leg.hang_ups == []


# ------------------------------------------------------------ hanging up


async def test_closing_hangs_up_once() -> None:
    setup = Setup()
    await setup.reach()
    await setup.conversation.close(None)
    await setup.conversation.close(None)
    assert setup.agent_leg.hang_ups == [200]
    assert setup.agent_leg.notified == []


async def test_closing_does_not_wait_long_for_an_unresponsive_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.agents.sip.conversation.CLOSE_SECONDS", 0.01)
    setup = Setup()
    await setup.reach()
    ending = setup.journal.hold("agent1.hang_up")
    await soon(setup.conversation.close(None))
    assert not setup.agent_leg.ended.done()
    ending.set()
    await soon(asyncio.shield(setup.agent_leg.ended))


def _implements(conversation: SipConversation) -> Conversation:
    return conversation


# ------------------------------------------------------------ a returned caller


async def test_a_muted_agent_is_parted_from_its_caller_and_joined_again() -> None:
    setup = Setup()
    running = await setup.begin()
    assert await setup.conversation.mute(make_handoff())
    assert setup.journal.steps[-1] == "caller.part"
    setup.agent_leg.far_end_sends_digit("5")
    assert setup.caller.digits == ""
    await setup.conversation.unmute()
    assert setup.caller.joined is setup.agent_leg
    assert setup.caller.withheld_digit == "0"
    setup.agent_leg.far_end_sends_digit("6")
    assert setup.caller.digits == "6"
    assert not setup.agent_leg.ended.done()
    await _cancelled(running)


async def test_the_end_of_a_muted_agent_does_not_part_its_caller_from_a_destination() -> None:
    setup = Setup()
    running = await setup.begin()
    await setup.conversation.mute(make_handoff())
    desk = FakeLeg(setup.journal, "desk")
    await setup.caller.join(desk)
    await _cancelled(running)
    assert setup.caller.joined is desk


async def test_an_agent_that_has_hung_up_cannot_be_muted() -> None:
    setup = Setup()
    running = await setup.begin()
    setup.agent_leg.far_end_hangs_up()
    await running
    assert not await setup.conversation.mute(make_handoff())


async def test_a_returned_caller_is_reported_as_the_failure_of_the_refer() -> None:
    setup = Setup()
    running = await setup.begin()
    assert setup.agent_leg.far_end_refers("<sip:sales@127.0.0.1>") == 202
    handoff = make_handoff(state=HandoffState.FAILED, transfer="taken_back", taken_back=True)
    await setup.conversation.mute(make_handoff())
    await setup.conversation.unmute()
    setup.conversation.report(handoff)
    assert setup.agent_leg.notified == [(480, "Temporarily Unavailable")]
    # Another REFER is possible, and has a NOTIFY of its own.
    assert setup.agent_leg.far_end_refers("<sip:sales@127.0.0.1>") == 202
    await setup.conversation.close(make_handoff(state=HandoffState.COMPLETED, confirmed=True))
    assert [status for status, _ in setup.agent_leg.notified] == [480, 200]
    with pytest.raises(AgentLost):
        await running
