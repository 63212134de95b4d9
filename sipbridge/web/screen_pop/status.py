"""The state of a call or chat in words for a human agent, and the time that its person has waited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.chats.model import ChatRecord, ChatState
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.web.screen_pop.texts import Texts


@dataclass(frozen=True, slots=True)
class Status:
    """A state. `clock` says which time is shown: the one from `since` until `until`, or until now.

    `final` is true if nothing follows that the bridge would know.
    """

    tone: Literal["waiting", "connected", "over", "failed"]
    text: str
    clock: str
    since: datetime
    until: datetime | None
    final: bool

    def seconds(self, now: datetime) -> int:
        """Return the time that is shown, in seconds."""
        return max(0, int(((self.until or now) - self.since).total_seconds()))


def status_of(record: CallRecord | ChatRecord, texts: Texts) -> Status:
    """Return the state of a call that was handed off, or of a chat."""
    if isinstance(record, ChatRecord):
        return _of_chat(record, texts)
    assert record.handoff is not None  # noqa: S101 (pop links are only for those that were handed off)
    return _of_call(record, record.handoff, texts)


def _of_call(record: CallRecord, handoff: HandoffRecord, texts: Texts) -> Status:
    """Return the state of a call.

    After `release` and `refer` the caller is at CXone, and only CXone knows who answers. So the time runs on.
    """
    since, final = handoff.handoff_at, record.state is CallState.ENDED
    match handoff.state:
        case HandoffState.INITIATED:
            return Status("waiting", texts.connecting, texts.waiting, since, None, final)
        case HandoffState.FAILED if handoff.taken_back:
            # CXone may still take the caller, by a BYE like the caller's own: so the end does not say who hung up.
            text = texts.taken_back_over if final else texts.taken_back
            return Status("over", text, texts.waited, since, handoff.finished_at, final)
        case HandoffState.FAILED:
            gone = record.ended_by == "caller"
            text = texts.hung_up if gone else texts.failed
            return Status("failed", text, texts.waited, since, record.ended_at or handoff.finished_at, final)
        case HandoffState.COMPLETED if handoff.method == "invite":
            if final:
                return Status("over", texts.call_over, texts.waited, since, handoff.finished_at, final)
            return Status("connected", texts.connected, texts.waited, since, handoff.finished_at, final)
        case HandoffState.COMPLETED:
            text = texts.handed_over if handoff.confirmed else texts.unconfirmed
            return Status("connected", text, texts.since_handoff, since, None, final)


def _of_chat(record: ChatRecord, texts: Texts) -> Status:
    """Return the state of a chat."""
    since, final = record.handoff.handoff_at, record.state.is_final
    match record.state:
        case ChatState.REQUESTED | ChatState.QUEUED:
            return Status("waiting", texts.queued, texts.waiting, since, None, final)
        case ChatState.ACTIVE:
            return Status("connected", texts.chatting, texts.waited, since, record.active_at, final)
        case ChatState.ENDED:
            return Status("over", texts.chat_over, texts.waited, since, record.active_at or record.ended_at, final)
        case ChatState.TIMED_OUT:
            return Status("failed", texts.timed_out, texts.waited, since, record.ended_at, final)
        case ChatState.FAILED:
            return Status("failed", texts.chat_failed, texts.waited, since, record.ended_at, final)
