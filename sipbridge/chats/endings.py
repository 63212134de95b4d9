"""The ways in which a chat ends, and what they leave in its record and in its last event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sipbridge.chats.model import ChatEnd, ChatEndedBy, ChatEventType, ChatRecord, ChatState, EndRequest
from sipbridge.handoffs.lifecycle import finish_handoff, is_in_progress
from sipbridge.handoffs.outcome import Result

NOT_HANDED_OVER = "chat_ended"  # the reason of messages whose chat ended first


def changes(record: ChatRecord, end: ChatEnd, at: datetime) -> dict[str, Any]:
    """Return what an end changes in the record. A handoff that is in progress has failed."""
    handoff = record.handoff
    if is_in_progress(handoff):
        handoff = finish_handoff(handoff, completed=False, confirmed=False, at=at)
    return {
        "state": end.state,
        "ended_at": at,
        "ended_by": end.by,
        "result": end.result,
        "reason": end.reason,
        "handoff": handoff,
        "ending": None,
    }


def last_event(end: ChatEnd) -> tuple[ChatEventType, dict[str, str]]:
    """Return the type and the payload of the last event."""
    if end.state is ChatState.FAILED:
        return ChatEventType.HANDOFF_FAILED, {"reason": end.reason}
    if end.state is ChatState.TIMED_OUT:
        return ChatEventType.HANDOFF_TIMEOUT, {}
    return ChatEventType.CHAT_ENDED, {"by": end.by, "reason": end.text or end.reason}


def contact_closed(record: ChatRecord, reason: str) -> ChatEnd:
    """CXone has closed the contact: the human agent has ended the chat. If none had joined, the handoff has failed."""
    if record.active_at is None:
        return ChatEnd(ChatState.FAILED, "bridge", reason, Result.UPSTREAM_ERROR, contact_closed=True)
    return ChatEnd(ChatState.ENDED, "agent", reason, contact_closed=True)


def channel_failed(record: ChatRecord, reason: str, result: Result = Result.UPSTREAM_ERROR) -> ChatEnd:
    """Without a human agent the handoff has failed; with one the chat has ended."""
    state = ChatState.FAILED if record.active_at is None else ChatState.ENDED
    return ChatEnd(state, "bridge", reason, result)


def no_agent(record: ChatRecord, why_unreachable: str) -> ChatEnd:
    """No human agent joined in time, or CXone was not even reached."""
    if record.state is ChatState.REQUESTED and why_unreachable:
        return channel_failed(record, why_unreachable)
    return ChatEnd(ChatState.TIMED_OUT, "bridge", "no_agent", Result.UPSTREAM_ERROR)


def ended_by_bot(request: EndRequest | None) -> ChatEnd:
    """The bot has ended the chat, and its last messages were handed over as far as possible."""
    by: ChatEndedBy = request.by if request else "bot"
    return ChatEnd(ChatState.ENDED, by, f"{by}_ended", text=request.reason if request else "")
