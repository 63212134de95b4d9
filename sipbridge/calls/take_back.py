"""Take-back: the agent gets a caller back whom CXone does not take, at most once per call.

The contact was signalled for that handoff, and CXone may still act on it. So a call sends no Signal after its first one
([signal.py](signal.py)), and a second handoff cannot be taken back: it has no Signal to wait for.
"""

from __future__ import annotations

import asyncio
import logging
import time

from sipbridge.aio import wait_any
from sipbridge.calls.call import Call
from sipbridge.calls.events import TakeBackDone
from sipbridge.calls.model import CallState
from sipbridge.calls.outcomes import AGENT_LOST, TAKEN_BACK, HandoffReason
from sipbridge.calls.ports.agents import Conversation
from sipbridge.errors import LegEnded
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.outcome import Outcome, Result

logger = logging.getLogger(__name__)

# The bridge requests these handoffs because the conversation cannot go on.
_FINAL_REASONS = frozenset({HandoffReason.DRAINING, HandoffReason.MEDIA_TIMEOUT})


def may_take_back(call: Call, plan: HandoffPlan) -> bool:
    """Return True if the agent is to get the caller back if CXone does not take them."""
    handoff = call.record.handoff
    is_final = handoff is not None and handoff.requested_by == "bridge" and handoff.reason in _FINAL_REASONS
    return plan.signal and not call.signalled and not is_final and _returns_in_time(call)


async def keep_agent(call: Call) -> bool:
    """Mute the agent, and keep it; return False if it cannot get its caller back. Never raises."""
    conversation, talking, handoff = call.conversation, call.talking, call.record.handoff
    if conversation is None or talking is None or talking.done() or handoff is None or call.leg.ended.done():
        return False
    try:
        call.keeps_agent = await conversation.mute(handoff)
    except LegEnded:
        return False
    except Exception:
        logger.exception("the agent failed", extra={"event": "agent_lost", **call.log_fields})
        return False
    return call.keeps_agent


async def take_back(call: Call) -> bool:
    """Wait for CXone to take the caller. If it does not, let agent and caller talk again, and return True.

    Return False at once if the agent is not kept, or would have no time left, and as soon as it leaves or the bridge
    drains. A BYE that comes before the two are connected again means that CXone has the caller.
    """
    conversation, talking = call.conversation, call.talking
    if not call.keeps_agent or conversation is None or talking is None or not _returns_in_time(call):
        return False
    began_at = time.monotonic()
    await wait_any(call.leg.ended, talking, call.drained, timeout=call.project_config.handoff.take_back_seconds)
    if call.leg.ended.done() or talking.done() or call.drained.done():
        return False
    returned = await _unmute(call, conversation) and not talking.done()
    if call.leg.ended.done() or call.drained.done():
        return False
    outcome = Outcome(Result.SUCCESS, TAKEN_BACK.reason) if returned else AGENT_LOST
    call.emit(TakeBackDone(call.record, outcome, time.monotonic() - began_at))
    return returned


def resume_conversation(call: Call) -> None:
    """Let the agent, the API and the caller decide again. The audio passes already."""
    call.keeps_agent = False
    call.decided = asyncio.get_running_loop().create_future()
    call.update(state=CallState.TALKING)


def _returns_in_time(call: Call) -> bool:
    """Return False if the conversation would have to end before the agent gets the caller back, or never does."""
    seconds = call.project_config.handoff.take_back_seconds
    return seconds is not None and asyncio.get_running_loop().time() + seconds < call.time_limit


async def _unmute(call: Call, conversation: Conversation) -> bool:
    try:
        await call.hold_audio.stop()
        await conversation.unmute()
    except LegEnded:
        return False
    except Exception:
        logger.exception("the agent failed", extra={"event": "agent_lost", **call.log_fields})
        return False
    return True
