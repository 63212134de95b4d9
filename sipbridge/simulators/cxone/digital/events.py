"""The events of a conversation, which its listeners receive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sipbridge.simulators.cxone.digital.messages import HumanAgent, Message

By = Literal["agent", "customer", "system"]
Mark = Literal["delivered", "seen_by_customer", "seen_by_agent"]

STATUSES = ("new", "open", "pending", "escalated", "resolved", "closed", "trashed")
ENDED_STATUSES = frozenset({"closed", "trashed"})


@dataclass(frozen=True, slots=True)
class Opened:
    """The conversation was created. Its first message follows."""


@dataclass(frozen=True, slots=True)
class MessageAdded:
    """A message of either side."""

    message: Message


@dataclass(frozen=True, slots=True)
class MessagesMarked:
    """Messages were delivered or seen."""

    messages: tuple[Message, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class AgentTyping:
    """The human agent began or stopped typing."""

    agent: HumanAgent
    on: bool


@dataclass(frozen=True, slots=True)
class CustomerTyping:
    """The customer began or stopped typing."""

    on: bool


@dataclass(frozen=True, slots=True)
class AssigneeChanged:
    """A human agent joined, left, or took over from another. `agent` is None in mid-transfer and after leaving."""

    agent: HumanAgent | None
    previous: HumanAgent | None
    in_transfer: bool = False


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The status of the contact changed."""

    status: str
    by: By

    @property
    def ends(self) -> bool:
        """True if the conversation is over."""
        return self.status in ENDED_STATUSES


@dataclass(frozen=True, slots=True)
class PositionChanged:
    """The position in the queue changed; the next in turn has 1."""

    position: int


@dataclass(frozen=True, slots=True)
class FieldsChanged:
    """Custom fields were set."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The simulator deleted the conversation."""


Event = (
    Opened
    | MessageAdded
    | MessagesMarked
    | AgentTyping
    | CustomerTyping
    | AssigneeChanged
    | StatusChanged
    | PositionChanged
    | FieldsChanged
    | Forgotten
)
