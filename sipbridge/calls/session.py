"""The life of a call, from the INVITE let in to the record closed. Read it from top to bottom."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from traceback import clear_frames

from sipbridge.aio import cancel_and_wait, wait_any
from sipbridge.calls.call import INVALID_HANDOFF, Call
from sipbridge.calls.endings import AGENT_UNAVAILABLE, INTERNAL_ERROR, MEDIA_TIMEOUT, SHUT_DOWN, Ending
from sipbridge.calls.events import AgentConnected, CallAnswered, CallEnded, CallStarted, ContactShared, InviteAnswered
from sipbridge.calls.handoff import cut_short, hand_off, say_goodbye
from sipbridge.calls.leg_end import ended_by, hang_up, watch_leg
from sipbridge.calls.media_timeout import media_timed_out
from sipbridge.calls.model import CallState, LegEnd
from sipbridge.calls.ports import SignalResult
from sipbridge.errors import AgentLost, AgentUnavailable, HandoffConflict, HandoffInvalid, LegGone
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.request import HandoffRequest

logger = logging.getLogger(__name__)

_OK = 200
_REQUEST_TERMINATED = 487
_SERVER_ERROR = 500


async def run_call(call: Call) -> None:
    """Live a call. Never raises: whatever fails, the caller's leg ends, CXone takes over, the record says so."""
    call.context.registry.add(call)
    try:
        call.emit(CallStarted(call.record))
        if call.context.registry.others_of_contact(call.record.call_id):
            call.emit(ContactShared(call.record))
        await _reach_agent(call)
        if call.conversation is None and call.project_config.on_agent_failure == "reject":
            await hang_up(call, AgentUnavailable.sip_status)
            outcome = AGENT_UNAVAILABLE.outcome
        else:
            await _answer(call)
            decision = await _converse(call)
            if isinstance(decision, Ending):
                outcome = await say_goodbye(call, decision)
            else:
                outcome = await hand_off(call, decision)
    except LegGone as gone:
        outcome = call.leg_ending().outcome
        # Its frames hold the task that raised it, and so itself: the call would stay in memory with all that it used.
        clear_frames(gone.__traceback__)
    except asyncio.CancelledError:
        # The program ends: the caller gets a BYE, the record is closed.
        outcome = SHUT_DOWN.outcome
    except Exception:
        logger.exception("a call failed", extra={"event": "internal_error", "call_id": call.record.call_id})
        outcome = INTERNAL_ERROR.outcome
    call.ending = True
    with _whatever_fails(call):
        if call.talking is not None:
            await cancel_and_wait(call.talking)
            call.talking = None
        await call.let_agent_go()
    await _end(call, outcome)


async def _reach_agent(call: Call) -> None:
    """Connect the agent while the caller waits; there is no conversation where it could not be reached.

    Raises `LegGone`.
    """
    agent_type = call.project_config.agent.type
    try:
        async with call.while_there():
            call.conversation = await call.agent.connect(call.identity, call.leg)
    except AgentUnavailable as error:
        call.emit(AgentConnected(call.record, agent_type, Outcome(Result.UPSTREAM_ERROR, error.reason)))
        logger.warning("no agent: %s", error, extra={"event": "agent_unavailable", **call.log_fields})
        return
    call.emit(AgentConnected(call.record, agent_type, Outcome(Result.SUCCESS, "connected")))


async def _answer(call: Call) -> None:
    # Before the caller is answered: from here on a crash is made good at the next start.
    await call.journalled(call.context.journal.begin(call.record, call.identity.headers))
    if call.context.registry.is_signalled(call.record.call_id):
        # While it rang.
        call.context.journal.signalled(call.record.call_id, SignalResult.DUPLICATE)
    watch_leg(call)
    # CXone's Studio reads X- headers of the first INVITE's 2xx and of nothing else we send.
    setup_seconds = await call.leg.answer({"X-Sipbridge-Call-Id": call.record.call_id})
    call.note(state=CallState.TALKING, answered_at=call.moment())
    _observe_response(call, _OK, "answered")
    call.emit(CallAnswered(call.record, setup_seconds))


async def _converse(call: Call) -> HandoffPlan | Ending:
    """Let the two talk until somebody decides how it goes on: the agent, the API, the clock. Raises `LegGone`."""
    clock = asyncio.get_running_loop().call_later(
        call.project_config.max_call_seconds, _hand_off_to_default, call, "max_call_seconds"
    )
    talking = asyncio.ensure_future(_talk(call))
    listening = asyncio.ensure_future(_watch_media(call))
    call.leg.on_digit(partial(_key_pressed, call))
    if call.drained.done():
        # It was still ringing when the others were handed off.
        _hand_off_to_default(call, "draining")
    try:
        await wait_any(talking, call.decided, call.leg.ended)
        if call.decided.done():
            # The agent goes on speaking: what it has begun is played out first.
            return call.decided.result()
        if talking.done():
            talking.result()
        raise LegGone("the caller has hung up")
    finally:
        clock.cancel()
        listening.cancel()
        if call.decided.done():
            call.talking = talking
        else:
            await cancel_and_wait(talking)


def _key_pressed(call: Call, digit: str) -> None:
    """Let the agent have the caller's keys, but for the one that asks for a human."""
    if call.decided.done():
        return
    if digit == call.project_config.handoff.dtmf_key:
        _hand_off_to_default(call, "dtmf", requested_by="dtmf")
    elif call.conversation is not None:
        call.conversation.press(digit)


async def _talk(call: Call) -> None:
    """Run the agent and carry its decision over into the call's."""
    if call.conversation is None:
        _hand_off_to_default(call, AgentUnavailable.reason)
        return
    try:
        end = await call.conversation.run(call)
    except AgentLost as error:
        logger.warning("the agent is lost: %s", error, extra={"event": "agent_lost", **call.log_fields})
        _hand_off_to_default(call, "agent_lost")
        return
    except Exception:
        if call.leg.ended.done():
            raise LegGone("the caller has hung up") from None
        logger.exception("the agent failed", extra={"event": "agent_lost", **call.log_fields})
        _hand_off_to_default(call, "agent_lost")
        return
    try:
        if end.handoff is None:
            call.end(end.ending)
        else:
            call.request_handoff(end.handoff, requested_by="agent")
    except HandoffConflict:
        return  # somebody was quicker
    except HandoffInvalid as error:
        logger.warning(
            "the agent asked for a handoff that cannot be: %s",
            error,
            extra={"event": "handoff_refused", "call_id": call.record.call_id},
        )
        _hand_off_to_default(call, INVALID_HANDOFF)


async def _watch_media(call: Call) -> None:
    """Decide as the project says once the caller's audio has stopped."""
    seconds = call.project_config.media_timeout_seconds
    if seconds is None or not await media_timed_out(call.leg, seconds):
        return
    if call.project_config.on_media_timeout == "handoff":
        _hand_off_to_default(call, MEDIA_TIMEOUT.reason)
        return
    with suppress(HandoffConflict):
        call.end(MEDIA_TIMEOUT)


def _hand_off_to_default(call: Call, reason: str, *, requested_by: str = "bridge") -> None:
    """Hand off to the default destination, if nothing else was decided."""
    try:
        call.request_handoff(HandoffRequest(reason=reason), requested_by=requested_by)
    except HandoffConflict:
        return


async def _end(call: Call, outcome: Outcome) -> None:
    """End the caller's leg if it is still up, close the record, and notify the observers.

    Whatever fails, the call is not among those in progress after this, and its slot is free.
    """
    context = call.context
    with _whatever_fails(call):
        # An INVITE with no final response yet must not get a 2xx for its last.
        await hang_up(call, 200 if call.leg.answered.done() else _SERVER_ERROR)
    with _whatever_fails(call):
        await call.background_over()
        cut_short(call, outcome)
    if call.leg.ended.done():
        leg_end = call.leg.ended.result()
    else:
        leg_end = LegEnd(by_peer=False, sip_status=_SERVER_ERROR, at=time.monotonic())
    with _whatever_fails(call):
        _close_record(call, outcome, leg_end)
    context.admission.release(call.record.call_id)
    with _whatever_fails(call):
        if await call.store(urgent=False):
            context.journal.stored(call.record.call_id)
        else:
            context.journal.unstored(call.record)
    context.registry.remove(call)
    with _whatever_fails(call):
        call.emit(CallEnded(call.record, outcome, leg_end.at - call.began))


def _close_record(call: Call, outcome: Outcome, leg_end: LegEnd) -> None:
    call.note(
        state=CallState.ENDED,
        ended_at=call.moment(leg_end.at),
        ended_by=ended_by(call, leg_end),
        result=outcome.result,
        reason=outcome.reason,
    )
    record = call.record
    if record.answered_at is None:
        status = _final_response(leg_end)
        _observe_response(call, status, outcome.reason)


def _observe_response(call: Call, sip_status: int, reason: str) -> None:
    record = call.record
    call.emit(
        InviteAnswered(
            sip_status,
            reason,
            record.sip_call_id,
            call.source_address,
            record.call_id,
            client=record.client,
            project=record.project,
        )
    )


def _final_response(leg_end: LegEnd) -> int:
    """Return how the INVITE of a call that never got as far as a conversation was answered."""
    if leg_end.answered:
        return _OK
    return _REQUEST_TERMINATED if leg_end.by_peer else leg_end.sip_status


@contextmanager
def _whatever_fails(call: Call) -> Iterator[None]:
    """Log what a step of the end raises, so that the steps after it are taken all the same."""
    try:
        yield
    except Exception:
        extra = {"event": "internal_error", "call_id": call.record.call_id}
        logger.exception("a step of the end of a call failed", extra=extra)
