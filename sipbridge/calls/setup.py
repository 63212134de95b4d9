"""The setup of a call: connect its agent while the caller hears ringing, then answer or reject the caller."""

from __future__ import annotations

import logging
from traceback import clear_frames

from sipbridge.calls.call import Call
from sipbridge.calls.endings import TAKEN_OVER, Ending
from sipbridge.calls.events import AgentConnected, CallAnswered, InviteAnswered, StoreFailed
from sipbridge.calls.leg_end import caller_hung_up, hang_up, watch_leg
from sipbridge.calls.model import CallState
from sipbridge.calls.outcomes import CONNECTED
from sipbridge.errors import AgentUnavailable, LegEnded, NodeTakenOver
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.telephony.sip_status import SipStatus

logger = logging.getLogger(__name__)


async def connect_agent(call: Call) -> None:
    """Connect the agent while the caller waits. If that fails there is no conversation. Raises `LegEnded`.

    It also returns as soon as the end of the call is decided.
    """
    agent_type = call.project_config.agent.type
    try:
        async with call.unless_ended(or_decided=True):
            call.conversation = await call.agent.connect(call.identity, call.leg)
    except LegEnded as over:
        if call.leg.ended.done() or not call.decided.done():
            raise
        clear_frames(over.__traceback__)  # they refer to the error: a cycle that would keep the call in memory
        return
    except AgentUnavailable as error:
        call.emit(AgentConnected(call.record, agent_type, Outcome(Result.UPSTREAM_ERROR, error.reason)))
        logger.warning("no agent: %s", error, extra={"event": "agent_unavailable", **call.log_fields})
        return
    call.emit(AgentConnected(call.record, agent_type, CONNECTED))


async def reject(call: Call) -> Outcome:
    """Reject a caller who still hears ringing, as the end of the call is decided. Raises `LegEnded`."""
    ending = call.decided.result()
    if not isinstance(ending, Ending):
        raise TypeError("a call is handed off after its answer only")
    call.update(ended_by=ending.by)
    if ending is TAKEN_OVER:
        await _send_to_another_node(call)
    else:
        await hang_up(call, SipStatus.TEMPORARILY_UNAVAILABLE)
    if caller_hung_up(call):
        raise LegEnded("the caller has hung up")
    return ending.outcome


async def _send_to_another_node(call: Call) -> None:
    """Reject the caller, for the trunk to try another node: this one was taken over."""
    await hang_up(call, NodeTakenOver.sip_status, {"Retry-After": str(NodeTakenOver.retry_after_seconds)})


async def answer(call: Call) -> bool:
    """Answer the caller. The journal has the call before that, so that the next start recovers it after a crash.

    Return False if the caller was sent to another node instead.
    """
    journal = call.context.journal
    try:
        # A Signal of the contact that is sent from now on writes itself that it withholds the one of this call.
        withheld = call.context.registry.is_signalled(call.record.call_id)
        is_journalled = await journal.begin(call.record, call.identity.headers, withheld=withheld)
    except NodeTakenOver:
        watch_leg(call)  # the journal has begun: after a crash, this caller must not be recovered beside the next node
        await _send_to_another_node(call)
        return False
    if not is_journalled:
        # The call goes on: only a crash would cost it more.
        call.emit(StoreFailed(call.record, "the call could not be journalled"))
    watch_leg(call)
    # CXone's Studio reads X- headers of the first INVITE's 2xx and of no other message of ours.
    setup_seconds = await call.leg.answer({"X-Sipbridge-Call-Id": call.record.call_id})
    answered_at = call.timestamp()
    call.update(state=CallState.TALKING, answered_at=answered_at)
    journal.answered(call.record.call_id, answered_at)
    emit_response(call, SipStatus.OK, "answered")
    call.emit(CallAnswered(call.record, setup_seconds))
    return True


def emit_response(call: Call, sip_status: int, reason: str) -> None:
    """Notify the observers of the final response to the INVITE."""
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
