"""A handoff, step by step; and the goodbye where there is none."""

from __future__ import annotations

import asyncio
import logging
import time

from sipbridge.aio import cancel_and_wait
from sipbridge.calls.call import Call
from sipbridge.calls.endings import Ending
from sipbridge.calls.events import HandoffFinished, HandoffStage, HandoffStarted, SignalSent, SignalWithheld
from sipbridge.calls.leg_end import hang_up
from sipbridge.calls.parameters import signal_parameters
from sipbridge.calls.ports import SignalResult
from sipbridge.calls.signal import SIGNAL_OUTCOMES, Signal
from sipbridge.calls.transfer import Taken, Transfer, abandon, transfer
from sipbridge.errors import LegGone
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState

logger = logging.getLogger(__name__)

PLAY_OUT_SECONDS = 10.0
# A text may be pages long; a caller who asked for a human does not listen to pages.
UTTERANCE_SECONDS = 60.0

_DONE = Outcome(Result.SUCCESS, "done")


async def hand_off(call: Call, plan: HandoffPlan) -> Outcome:
    """Give the caller back to CXone for a human, in the contract's order. Never raises `LegGone`."""
    began = time.monotonic()
    call.emit(HandoffStarted(call.record))
    speech = _prepare_speech(call, plan)
    try:
        await _play_out(call)
        await _speak(call, speech)
        await _store_record(call)
        await _post_transcript(call)
        _must_be_there(call)
    except LegGone:
        return _finish(call, plan, began, None, abandon(call))
    finally:
        if speech is not None:
            await cancel_and_wait(speech)
    signal = await _send_signal(call, plan, "handoff") if plan.signal else None
    if signal is SignalResult.DUPLICATE:
        # The script has its Signal; which of its calls goes on is not known.
        signal = None
    started = time.monotonic()

    def finish(transferred: Transfer) -> Outcome:
        if _is_open(call):
            call.emit(HandoffStage(call.record, "transfer", time.monotonic() - started, transferred.outcome))
        return _finish(call, plan, began, signal, transferred)

    async def joined(transferred: Transfer) -> None:
        finish(transferred)
        await call.store()

    return finish(await transfer(call, plan, signal, joined))


async def say_goodbye(call: Call, ending: Ending) -> Outcome:
    """End a conversation that ends with no handoff: `end_signal`, then BYE. Raises `LegGone`.

    The script reads a BYE with no Signal before it as a failure, so a good end is signalled too.
    """
    call.note(ended_by=ending.by, reason=ending.reason)
    await _play_out(call)
    _must_be_there(call)
    if call.project_config.handoff.post_transcript:
        await call.centre.post_transcript(call.record, escalated=False)
    if call.project_config.handoff.end_signal:
        await _send_signal(call, None, "end")
    await hang_up(call)
    return ending.outcome


async def _play_out(call: Call) -> None:
    """Let the agent finish its sentence, for at most `PLAY_OUT_SECONDS`."""
    conversation = call.conversation
    if conversation is None:
        return
    started = time.monotonic()
    outcome = _DONE
    try:
        async with asyncio.timeout(PLAY_OUT_SECONDS), call.while_there():
            await conversation.finish_speaking()
    except TimeoutError:
        outcome = Outcome(Result.CLIENT_ERROR, "cut_off")
    except LegGone:
        raise
    except Exception:
        logger.exception("the agent failed", extra={"event": "agent_lost", **call.log_fields})
        outcome = Outcome(Result.UPSTREAM_ERROR, "agent_lost")
    finally:
        # It has said what it had to say: it neither speaks nor hears on while the caller is given away.
        if call.talking is not None:
            await cancel_and_wait(call.talking)
    if call.record.handoff is not None:
        call.emit(HandoffStage(call.record, "play_out", time.monotonic() - started, outcome))


def _prepare_speech(call: Call, plan: HandoffPlan) -> asyncio.Future[str | None] | None:
    """Have the utterance synthesised while the agent still speaks; None where there is nothing to say it with."""
    if call.speaker is None or not plan.request.utterance:
        return None
    return asyncio.ensure_future(call.speaker.prepare(plan.request.utterance))


async def _speak(call: Call, speech: asyncio.Future[str | None] | None) -> None:
    """Say the utterance to the caller. A failure of it stops no handoff."""
    if speech is None:
        return
    started = time.monotonic()
    outcome = _DONE
    try:
        async with asyncio.timeout(UTTERANCE_SECONDS), call.while_there():
            clip = await speech
            if clip is None:
                outcome = Outcome(Result.UPSTREAM_ERROR, "speech_failed")
            else:
                await call.leg.play(clip)
    except TimeoutError:
        outcome = Outcome(Result.CLIENT_ERROR, "cut_off")
    call.emit(HandoffStage(call.record, "utterance", time.monotonic() - started, outcome))


async def _store_record(call: Call) -> None:
    """Store the record before CXone hears of it: the screen-pop may ask at once. No failure stops the handoff."""
    started = time.monotonic()
    stored = await call.store()
    outcome = _DONE if stored else Outcome(Result.SERVER_ERROR, "store_failed")
    call.emit(HandoffStage(call.record, "store", time.monotonic() - started, outcome))


async def _post_transcript(call: Call) -> None:
    if not (call.project_config.handoff.post_transcript and call.record.transcript):
        return
    started = time.monotonic()
    posted = await call.centre.post_transcript(call.record, escalated=True)
    outcome = _DONE if posted else Outcome(Result.UPSTREAM_ERROR, "transcript_failed")
    call.emit(HandoffStage(call.record, "transcript", time.monotonic() - started, outcome))


def _must_be_there(call: Call) -> None:
    if call.leg.ended.done():
        raise LegGone("the caller has hung up")


async def _send_signal(call: Call, plan: HandoffPlan | None, purpose: str) -> SignalResult:
    """Fill in the templates and signal. Not cut short by the caller's BYE: CXone may already act on it."""
    config = call.project_config.handoff
    parameters = signal_parameters(config, call.record, plan, call.identity.headers, call.context.pop_url)
    call.note_handoff(parameters=parameters)
    signal = Signal(call.context, call.record, parameters)
    started = time.monotonic()
    try:
        return await signal.send()
    finally:
        # Also if the program is stopped while CXone's response is awaited: the record then says `unknown`.
        seconds = time.monotonic() - started
        call.signalled = signal.result is not SignalResult.UNDELIVERED
        call.note_handoff(signal=signal.result.value)
        outcome = SIGNAL_OUTCOMES[signal.result]
        withheld = signal.result is SignalResult.DUPLICATE
        call.emit(
            SignalWithheld(call.record, purpose) if withheld else SignalSent(call.record, purpose, outcome, seconds)
        )
        if plan:
            call.emit(HandoffStage(call.record, "signal", seconds, outcome))


def _finish(call: Call, plan: HandoffPlan, began: float, signal: SignalResult | None, transferred: Transfer) -> Outcome:
    """Give the handoff its final state, once; returns how it ended."""
    outcome = _judge(signal, transferred)
    if _is_open(call):
        completed = transferred.taken is not Taken.NO
        call.note_handoff(
            state=HandoffState.COMPLETED if completed else HandoffState.FAILED,
            confirmed=transferred.taken is Taken.YES,
            transfer=transferred.story,
            finished_at=call.moment(),
        )
        call.emit(HandoffFinished(call.record, plan.method, outcome, time.monotonic() - began))
        # The agent hears how it went, and is free while the caller may still talk to a human through us.
        call.in_the_background(call.let_agent_go())
    return outcome


def cut_short(call: Call, outcome: Outcome) -> None:
    """Give a handoff its final state that did not come to its end, as the program or a fault of ours ended the call."""
    handoff = call.record.handoff
    if handoff is None or not _is_open(call):
        return
    # CXone took the Signal: its script has the caller, though it was not seen to act.
    taken = handoff.signal == SignalResult.ACCEPTED
    state = HandoffState.COMPLETED if taken else HandoffState.FAILED
    call.note_handoff(state=state, confirmed=False, finished_at=call.moment())
    seconds = (call.moment() - handoff.handoff_at).total_seconds()
    call.emit(HandoffFinished(call.record, handoff.method, outcome, seconds))


def _is_open(call: Call) -> bool:
    return call.record.handoff is not None and call.record.handoff.state is HandoffState.INITIATED


def _judge(signal: SignalResult | None, transferred: Transfer) -> Outcome:
    if transferred.taken is Taken.YES:
        return Outcome(Result.SUCCESS, "handed_off")
    if transferred.taken is Taken.MAYBE:
        return Outcome(Result.INDETERMINATE, "unconfirmed")
    if signal not in (None, SignalResult.ACCEPTED):
        return SIGNAL_OUTCOMES[signal]
    return transferred.outcome
