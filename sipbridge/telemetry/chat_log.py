"""The chat log: a line at the start and the end of a chat, and one per fault. Ids and fixed words only."""

from __future__ import annotations

import logging
from typing import Any

from sipbridge.chats.events import (
    ChannelFault,
    ChatAgentJoined,
    ChatEnded,
    ChatMessageRelayed,
    ChatQueued,
    ChatReleased,
    ChatStarted,
    ChatTelemetry,
)
from sipbridge.chats.model import ChatRecord
from sipbridge.log_sampling import BurstLimit

logger = logging.getLogger("sipbridge.chat")


class ChatLog:
    """An observer of chats that logs.

    Lines about faults are limited to `lines` in `window_seconds` per kind, client and project.
    """

    def __init__(self, *, lines: int = 20, window_seconds: float = 1.0) -> None:
        self._limit = BurstLimit(logger, lines, window_seconds)

    def __call__(self, event: ChatTelemetry, /) -> None:
        """Log an event."""
        match event:
            case ChatStarted(record, resumed=True):
                logger.info("chat resumed", extra=_ids(record) | {"event": "chat_resumed"})
            case ChatStarted(record):
                logger.info("chat requested", extra=_ids(record) | {"event": "chat_requested"})
            case ChatQueued(record):
                logger.debug("chat queued", extra=_ids(record) | {"event": "chat_queued"})
            case ChatAgentJoined(record, seconds):
                fields = {"event": "chat_agent_joined", "wait_ms": round(seconds * 1000)}
                logger.info("human agent joined the chat", extra=_ids(record) | fields)
            case ChatMessageRelayed(record, direction, status, seconds) if logger.isEnabledFor(logging.DEBUG):
                fields = {"event": "chat_message", "direction": direction, "delivery": status.value, "seconds": seconds}
                logger.debug("chat message relayed", extra=_ids(record) | fields)
            case ChatEnded(record):
                logger.info("chat ended", extra=_ids(record) | _end(record))
            case ChatReleased(record):
                logger.info("chat released for another node", extra=_ids(record) | {"event": "chat_released"})
            case ChannelFault():
                self._fault(event)

    def _fault(self, event: ChannelFault) -> None:
        if self._limit.allows(f"channel fault: {event.fault}", client=event.client, project=event.project):
            fields = {
                "event": "channel_fault",
                "client": event.client,
                "project": event.project,
                "chat_id": event.chat_id,
                "channel": event.channel,
                "fault": event.fault,
            }
            logger.warning("%s", event.message, extra=fields)


def _end(record: ChatRecord) -> dict[str, Any]:
    ended_at = record.ended_at or record.started_at
    return {
        "event": "chat_ended",
        "state": record.state.value,
        "result": record.result.value if record.result else None,
        "reason": record.reason,
        "ended_by": record.ended_by,
        "duration_ms": round((ended_at - record.started_at).total_seconds() * 1000),
    }


def _ids(record: ChatRecord) -> dict[str, Any]:
    return {
        "chat_id": record.chat_id,
        "client": record.client,
        "project": record.project,
        "channel": record.channel,
    }
