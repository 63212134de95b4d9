"""The events of chats, the only source of metrics and log lines about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sipbridge.chats.model import ChatRecord, DeliveryStatus


@dataclass(frozen=True, slots=True)
class ChatStarted:
    """A chat was requested, or goes on after a restart (`resumed`)."""

    record: ChatRecord
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class ChatQueued:
    """CXone has the contact."""

    record: ChatRecord


@dataclass(frozen=True, slots=True)
class ChatAgentJoined:
    """The first human agent joined, this many seconds after the request."""

    record: ChatRecord
    seconds: float


@dataclass(frozen=True, slots=True)
class ChatEnded:
    """A chat is over. `decided_at` is when its end was decided, None if that was by an earlier run."""

    record: ChatRecord
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChatReleased:
    """A chat goes on at another node."""

    record: ChatRecord


@dataclass(frozen=True, slots=True)
class ChatMessageRelayed:
    """A message was handed over to the human agent (`to_agent`) or to the bot, or could not be.

    `seconds` is the time from its acceptance to that.
    """

    record: ChatRecord
    direction: Literal["to_agent", "to_bot"]
    status: DeliveryStatus
    seconds: float


@dataclass(frozen=True, slots=True)
class ChannelFault:
    """The channel sent something that is not valid, was lost, or refused a request.

    `fault` is a short lower-case word from a small fixed set; `message` quotes no content.
    """

    client: str
    project: str
    chat_id: str
    channel: str
    fault: str
    message: str


ChatTelemetry = (
    ChatStarted | ChatQueued | ChatAgentJoined | ChatEnded | ChatReleased | ChatMessageRelayed | ChannelFault
)
