"""The life of a call, from the admitted INVITE to the closed record. Read it from top to bottom."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from traceback import clear_frames
from types import TracebackType

from sipbridge.aio import cancel_and_wait, wait_any
from sipbridge.calls.call import Call
from sipbridge.calls.endings import (
    AGENT_UNAVAILABLE,
    INTERNAL_ERROR,
    MEDIA_TIMEOUT,
    SHUT_DOWN,
    TAKEN_OVER,
    Ending,
)
from sipbridge.calls.events import (
    CallEnded,
    CallStarted,
    ContactShared,
)
from sipbridge.calls.handoff import cut_short, end_conversation, hand_off
from sipbridge.calls.leg_end import ended_by, hang_up
from sipbridge.calls.media_timeout import MediaWatch
from sipbridge.calls.model import CallState, LegEnd
from sipbridge.calls.outcomes import HandoffReason
from sipbridge.calls.setup import answer, connect_agent, emit_response, reject
from sipbridge.errors import AgentLost, AgentUnavailable, HandoffConflict, HandoffInvalid, LegEnded
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.outcome import Outcome
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.telephony.sip_status import SipStatus

logger = logging.getLogger(__name__)


async def run_call(call: Call) -> None:
    """Run a call. Never raises: after any failure the caller's leg ends, CXone goes on, and the record says so."""
    call.context.registry.add(call)
    try:
        call.emit(CallStarted(call.record))
        if call.context.registry.others_of_contact(call.record.call_id):
            call.emit(ContactShared(call.record))
        await connect_agent(call)
        if call.decided.done():
            outcome = await reject(call)
        elif call.conversation is None and call.project_config.on_agent_failure == "reject":
            await hang_up(call, AgentUnavailable.sip_status)
            outcome = AGENT_UNAVAILABLE.outcome
        elif await answer(call):
            outcome = await _serve(call)
        else:
            outcome = TAKEN_OVER.outcome
    except LegEnded as gone:
        outcome = call.interruption().outcome
        # Its frames refer to this task, and the task to the error: a cycle that would keep the call in memory.
        clear_frames(gone.__traceback__)
    except asyncio.CancelledError:
        # The program is stopping: the caller gets a BYE, and the record is closed.
        outcome = SHUT_DOWN.outcome
    except Exception:
        logger.exception("a call failed", extra={"event": "internal_error", "call_id": call.record.call_id})
        outcome = INTERNAL_ERROR.outcome
    call.ending = True
    with _LogFailure(call):
        await call.hold_audio.stop()
        await call.release_agent()
    await _end(call, outcome)


async def _serve(call: Call) -> Outcome:
    """Let the caller talk to the agent, then hand off or end; again if the agent gets them back. Raises `LegEnded`."""
    call.time_limit = asyncio.get_running_loop().time() + call.project_config.max_call_seconds
    while True:
        decision = await _converse(call)
        if isinstance(decision, Ending):
            return await end_conversation(call, decision)
        outcome = await hand_off(call, decision)
        if outcome is not None:
            return outcome


async def _converse(call: Call) -> HandoffPlan | Ending:
    """Run the conversation until the agent, the API, the caller or a time limit decides its end. Raises `LegEnded`.

    An agent that was kept goes on.
    """
    time_limit = asyncio.get_running_loop().call_at(
        call.time_limit, _hand_off_to_default, call, HandoffReason.MAX_CALL_SECONDS
    )
    kept, call.talking = call.talking, None
    talking = kept or asyncio.create_task(_talk(call))
    media_watch = MediaWatch(call.leg, call.project_config.media_timeout_seconds, partial(_on_media_timeout, call))
    call.leg.on_digit(partial(_on_digit, call))
    if call.drained.done():
        # The call was still ringing when the others were handed off.
        _hand_off_to_default(call, HandoffReason.DRAINING)
    try:
        await wait_any(talking, call.decided, call.leg.ended)
        if call.decided.done():
            # The agent goes on speaking: what it has begun is played to its end first.
            return call.decided.result()
        if talking.done():
            talking.result()
        raise LegEnded("the caller has hung up")
    finally:
        time_limit.cancel()
        media_watch.stop()
        if call.decided.done():
            call.talking = talking
        else:
            await cancel_and_wait(talking)


def _on_digit(call: Call, digit: str) -> None:
    """Pass the caller's DTMF digits to the agent, except the one that asks for a human agent."""
    if call.decided.done():
        return
    if digit == call.project_config.handoff.dtmf_key:
        _hand_off_to_default(call, HandoffReason.DTMF, requested_by="dtmf")
    elif call.conversation is not None:
        call.conversation.send_digit(digit)


async def _talk(call: Call) -> None:
    """Run the agent, and make its decision that of the call."""
    if call.conversation is None:
        _hand_off_to_default(call, HandoffReason.AGENT_UNAVAILABLE)
        return
    try:
        end = await call.conversation.run(call)
    except AgentLost as error:
        logger.warning("the agent is lost: %s", error, extra={"event": "agent_lost", **call.log_fields})
        _hand_off_to_default(call, HandoffReason.AGENT_LOST)
        return
    except Exception:
        if call.leg.ended.done():
            raise LegEnded("the caller has hung up") from None
        logger.exception("the agent failed", extra={"event": "agent_lost", **call.log_fields})
        _hand_off_to_default(call, HandoffReason.AGENT_LOST)
        return
    try:
        if end.handoff is None:
            call.end(end.ending)
        else:
            call.request_handoff(end.handoff, requested_by="agent")
    except HandoffConflict:
        return  # another request came first
    except HandoffInvalid as error:
        logger.warning(
            "the agent asked for an invalid handoff: %s",
            error,
            extra={"event": "handoff_refused", "call_id": call.record.call_id},
        )
        _hand_off_to_default(call, HandoffReason.INVALID_HANDOFF)


def _on_media_timeout(call: Call) -> None:
    """Apply `on_media_timeout`, as the caller's audio has stopped."""
    if call.project_config.on_media_timeout == "handoff":
        _hand_off_to_default(call, HandoffReason.MEDIA_TIMEOUT)
        return
    with suppress(HandoffConflict):
        call.end(MEDIA_TIMEOUT)


def _hand_off_to_default(call: Call, reason: HandoffReason, *, requested_by: str = "bridge") -> None:
    """Hand off to the default destination, unless the end of the conversation is decided already."""
    with suppress(HandoffConflict):
        call.request_handoff(HandoffRequest(reason=reason), requested_by=requested_by)


async def _end(call: Call, outcome: Outcome) -> None:
    """End the caller's leg if it has not ended, close the record, and notify the observers.

    Whatever fails, the call is no longer among those in progress after this, and its slot is free.
    """
    context = call.context
    log_failure = _LogFailure(call)
    with log_failure:
        # An INVITE without a final response must not get a 2xx as its last one.
        await hang_up(call, SipStatus.OK if call.leg.answered.done() else SipStatus.SERVER_INTERNAL_ERROR)
    with log_failure:
        await call.background.wait()
        cut_short(call, outcome)
    if call.leg.ended.done():
        leg_end = call.leg.ended.result()
    else:
        leg_end = LegEnd(by_peer=False, sip_status=SipStatus.SERVER_INTERNAL_ERROR, at=time.monotonic())
    with log_failure:
        _close_record(call, outcome, leg_end)
    context.admission.release(call.record.call_id)
    stored = False
    with log_failure:
        stored = await call.store(urgent=False)
        if stored:
            context.journal.stored(call.record.call_id)
        else:
            context.journal.unstored(call.record)
    context.registry.remove(call)
    with log_failure:
        seconds = leg_end.at - call.began_at
        call.emit(CallEnded(call.record, outcome, seconds, superseded=call.superseded, stored=stored))


def _close_record(call: Call, outcome: Outcome, leg_end: LegEnd) -> None:
    call.update(
        state=CallState.ENDED,
        ended_at=call.timestamp(leg_end.at),
        ended_by=ended_by(call, leg_end),
        result=outcome.result,
        reason=outcome.reason,
    )
    if call.record.answered_at is None:
        emit_response(call, _final_response(leg_end), outcome.reason)


def _final_response(leg_end: LegEnd) -> int:
    """Return the final response to the INVITE of a call that never became a conversation."""
    if leg_end.answered:
        return SipStatus.OK
    return SipStatus.REQUEST_TERMINATED if leg_end.by_peer else leg_end.sip_status


class _LogFailure:
    """Log an exception in a step of the call's end, so that the next steps are taken all the same."""

    __slots__ = ("_call_id",)

    def __init__(self, call: Call) -> None:
        self._call_id = call.record.call_id

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        extra = {"event": "internal_error", "call_id": self._call_id}
        logger.error("a step of the end of a call failed", exc_info=error, extra=extra)
        return True
