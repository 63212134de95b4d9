"""A handoff, step by step; and the end of a conversation without one."""

from __future__ import annotations

import asyncio
import logging
import time

from sipbridge.aio import cancel_and_wait
from sipbridge.calls.call import Call
from sipbridge.calls.endings import TAKEN_OVER, Ending
from sipbridge.calls.events import HandoffFinished, HandoffStage, HandoffStarted, SignalSent, SignalWithheld
from sipbridge.calls.leg_end import caller_hung_up, check_caller, hang_up
from sipbridge.calls.outcomes import (
    AGENT_LOST,
    CUT_OFF,
    DONE,
    HANDED_OFF,
    SIGNAL_OUTCOMES,
    SPEECH_FAILED,
    STORE_FAILED,
    TRANSCRIPT_FAILED,
    UNCONFIRMED,
)
from sipbridge.calls.parameters import signal_parameters
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.signal import Signal
from sipbridge.calls.take_back import keep_agent, may_take_back, resume_conversation
from sipbridge.calls.transfer import Confirmation, Transfer, abandon, transfer
from sipbridge.errors import LegEnded
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.lifecycle import finish_handoff, is_in_progress
from sipbridge.handoffs.outcome import Outcome

logger = logging.getLogger(__name__)

PLAY_OUT_SECONDS = 10.0
# A text may be pages long, but a caller who waits for a human agent does not listen to pages.
UTTERANCE_SECONDS = 60.0


async def hand_off(call: Call, plan: HandoffPlan) -> Outcome | None:
    """Give the caller back to CXone for a human agent, in the contract's order. Never raises `LegEnded`.

    Return None if the agent has got the caller back: the conversation goes on.
    """
    began_at = time.monotonic()
    call.emit(HandoffStarted(call.record))
    # The agent may go on speaking for a while, and what it wants the human agent to know must survive a crash.
    call.context.journal.handing_off(call.record)
    speech = _prepare_speech(call, plan)
    try:
        await _play_out(call, keep=may_take_back(call, plan))
        await _speak(call, speech)
        call.hold_audio.start(call.hold_clip)
        await _store_record(call, plan)
        await _post_transcript(call)
        await check_caller(call)
    except LegEnded:
        return _finish(call, plan, began_at, None, abandon(call))
    finally:
        if speech is not None:
            await cancel_and_wait(speech)
    signal = await _send_signal(call, plan, "handoff") if plan.signal else None
    if signal in (SignalResult.UNDELIVERED, SignalResult.DUPLICATE):
        # CXone learns of the handoff by the transfer, and the journal need not have an entry with the record.
        await call.store()
    if signal is SignalResult.DUPLICATE:
        # The script has its Signal, but it is not known which of its calls goes on.
        signal = None
    started_at = time.monotonic()

    def finish(transferred: Transfer) -> Outcome:
        if is_in_progress(call.record.handoff):
            _emit_stage(call, "transfer", started_at, transferred.outcome)
        return _finish(call, plan, began_at, signal, transferred)

    async def on_joined(transferred: Transfer) -> None:
        finish(transferred)
        await call.store()

    transferred = await transfer(call, plan, signal, on_joined)
    outcome = finish(transferred)
    if transferred.confirmation is not Confirmation.TAKEN_BACK:
        return outcome
    call.background.start(_store(call))
    return None


async def _store(call: Call) -> None:
    await call.store()


async def end_conversation(call: Call, ending: Ending) -> Outcome:
    """End a conversation without a handoff: `end_signal`, then BYE. Raises `LegEnded`.

    The script takes a BYE without a Signal before it for a failure, so a good end is signalled too.
    """
    call.update(ended_by=ending.by, reason=ending.reason)
    if ending is not TAKEN_OVER:  # else another node has signalled the contact, and nothing is left to do for it
        await _conclude(call)
    await hang_up(call)
    if caller_hung_up(call):
        raise LegEnded("the caller has hung up")
    return ending.outcome


async def _conclude(call: Call) -> None:
    """Let the agent finish, post the transcript, and send `end_signal`. Raises `LegEnded`."""
    await _play_out(call)
    await check_caller(call)
    if call.project_config.handoff.post_transcript and not call.signalled:
        await call.centre.post_transcript(call.record, escalated=False)
        await check_caller(call)
    if call.project_config.handoff.end_signal:
        await _send_signal(call, None, "end")


def cut_short(call: Call, outcome: Outcome) -> None:
    """Give an interrupted handoff its final state: the program is stopping, or a fault of ours ended the call."""
    handoff = call.record.handoff
    if handoff is None or not is_in_progress(handoff):
        return
    # If CXone accepted the Signal, its script has the caller, though it was not seen to act.
    accepted = handoff.signal == SignalResult.ACCEPTED
    call.update(handoff=finish_handoff(handoff, completed=accepted, confirmed=False, at=call.timestamp()))
    seconds = (call.timestamp() - handoff.handoff_at).total_seconds()
    call.emit(HandoffFinished(call.record, handoff.method, outcome, seconds))


async def _play_out(call: Call, *, keep: bool = False) -> None:
    """Let the agent finish its sentence, within `PLAY_OUT_SECONDS`. Keep it, if it may get the caller back."""
    conversation = call.conversation
    if conversation is None:
        return
    started_at = time.monotonic()
    outcome = DONE
    try:
        async with call.unless_ended(timeout=PLAY_OUT_SECONDS):
            await conversation.finish_speaking()
    except TimeoutError:
        outcome = CUT_OFF
    except LegEnded:
        raise
    except Exception:
        logger.exception("the agent failed", extra={"event": "agent_lost", **call.log_fields})
        outcome = AGENT_LOST
    finally:
        # The agent neither speaks nor hears any more while the caller is handed off.
        if not (keep and await keep_agent(call)) and call.talking is not None:
            await cancel_and_wait(call.talking)
    if is_in_progress(call.record.handoff):
        _emit_stage(call, "play_out", started_at, outcome)


def _prepare_speech(call: Call, plan: HandoffPlan) -> asyncio.Future[str | None] | None:
    """Synthesise the utterance while the agent still speaks; None if there is no utterance or no `tts_command`."""
    if call.speaker is None or not plan.request.utterance:
        return None
    return asyncio.ensure_future(call.speaker.prepare(plan.request.utterance))


async def _speak(call: Call, speech: asyncio.Future[str | None] | None) -> None:
    """Play the utterance to the caller. Its failure does not stop the handoff."""
    if speech is None:
        return
    started_at = time.monotonic()
    outcome = DONE
    try:
        async with call.unless_ended(timeout=UTTERANCE_SECONDS):
            clip = await speech
            if clip is None:
                outcome = SPEECH_FAILED
            else:
                await call.leg.play(clip)
    except TimeoutError:
        outcome = CUT_OFF
    _emit_stage(call, "utterance", started_at, outcome)


async def _store_record(call: Call, plan: HandoffPlan) -> None:
    """Store the record before CXone learns of the handoff: the screen-pop may ask for it at once.

    If a Signal follows, the journal has the record, and the disk has it with the Signal's entry, so the call does not
    wait for a commit.
    """
    started_at = time.monotonic()
    stored = call.store_later() if plan.signal else await call.store()
    _emit_stage(call, "store", started_at, DONE if stored else STORE_FAILED)


async def _post_transcript(call: Call) -> None:
    # Once per contact: the handoff that was taken back has posted it.
    if call.signalled or not (call.project_config.handoff.post_transcript and call.record.transcript):
        return
    started_at = time.monotonic()
    posted = await call.centre.post_transcript(call.record, escalated=True)
    _emit_stage(call, "transcript", started_at, DONE if posted else TRANSCRIPT_FAILED)


async def _send_signal(call: Call, plan: HandoffPlan | None, purpose: str) -> SignalResult:
    """Fill in the templates and send the Signal. The caller's BYE does not interrupt it: CXone may act on it."""
    config = call.project_config.handoff
    parameters = signal_parameters(config, call.record, plan, call.identity.headers, call.context.pop_url)
    if plan:
        call.update_handoff(parameters=parameters)
    signal = Signal(call.context, call.record, parameters, is_second=call.signalled)
    started_at = time.monotonic()
    try:
        return await signal.send()
    finally:
        # This also runs if the program is stopped while CXone's response is awaited: the record then says `unknown`.
        call.signalled = signal.result is not SignalResult.UNDELIVERED
        if plan:
            call.update_handoff(signal=signal.result.value)
        outcome = SIGNAL_OUTCOMES[signal.result]
        if signal.result is SignalResult.DUPLICATE:
            call.emit(SignalWithheld(call.record, purpose))
        else:
            call.emit(SignalSent(call.record, purpose, outcome, time.monotonic() - started_at))
        if plan:
            _emit_stage(call, "signal", started_at, outcome)


def _emit_stage(call: Call, stage: str, started_at: float, outcome: Outcome) -> None:
    call.emit(HandoffStage(call.record, stage, time.monotonic() - started_at, outcome))


def _finish(
    call: Call, plan: HandoffPlan, began_at: float, signal: SignalResult | None, transferred: Transfer
) -> Outcome:
    """Give the handoff its final state, once; return its outcome."""
    outcome = _outcome_of(signal, transferred)
    handoff = call.record.handoff
    if handoff is not None and is_in_progress(handoff):
        finished = finish_handoff(
            handoff,
            completed=transferred.confirmation in (Confirmation.CONFIRMED, Confirmation.UNCONFIRMED),
            confirmed=transferred.confirmation is Confirmation.CONFIRMED,
            at=call.timestamp(),
        )
        taken_back = transferred.confirmation is Confirmation.TAKEN_BACK
        finished = finished.changed(transfer=transferred.detail, taken_back=taken_back)
        call.update(handoff=finished)
        if taken_back:
            # Before anyone is notified: the agent may hand off again at once.
            resume_conversation(call)
        call.emit(HandoffFinished(call.record, plan.method, outcome, time.monotonic() - began_at))
        if not taken_back:
            call.background.start(call.release_agent())
        elif call.conversation is not None:
            call.conversation.report(finished)
    return outcome


def _outcome_of(signal: SignalResult | None, transferred: Transfer) -> Outcome:
    if transferred.confirmation is Confirmation.CONFIRMED:
        return HANDED_OFF
    if transferred.confirmation is Confirmation.UNCONFIRMED:
        return UNCONFIRMED
    if transferred.confirmation is Confirmation.TAKEN_BACK:
        return transferred.outcome
    if signal not in (None, SignalResult.ACCEPTED):
        return SIGNAL_OUTCOMES[signal]
    return transferred.outcome
