"""The values of the delivery of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from sipbridge.config import ProjectKey


@dataclass(frozen=True, slots=True)
class Webhook:
    """The URL that gets the events of a project, and the secret that signs them.

    `traced` is true if it gets the ids of traces too.
    """

    url: str
    secret: bytes = field(repr=False)
    allow_private_addresses: bool = False
    traced: bool = False


class DeliveryResult(StrEnum):
    """The result of an attempt to deliver an event, or the end of all attempts."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # for good, by a 3xx or a 4xx
    RETRIED = "retried"  # no response, 408, 429 or 5xx: another attempt follows
    GIVEN_UP = "given_up"  # after 24 hours
    DROPPED = "dropped"  # a typing event that was late or failed, or an event whose project has no webhook any more


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """A result, for metrics. `seconds` is the duration of the attempt, None if nothing was sent."""

    client: str
    project: str
    result: DeliveryResult
    seconds: float | None = None


class Event(Protocol):
    """An event of a chat or a call. `previous` is the sequence of the event before it.

    `sequence` is None for an event that is sent once, and that no source has.
    """

    @property
    def id(self) -> str:
        """The id, the same in each attempt."""

    @property
    def sequence(self) -> int | None:
        """The position among the events of the chat or call."""

    @property
    def previous(self) -> int:
        """The sequence of the event before it; 0 for the first one."""

    @property
    def at(self) -> datetime:
        """The time of the event."""

    def to_json(self) -> str:
        """Return the body of the request."""


class Undelivered(NamedTuple):
    """A chat or call with events that the webhook did not get, and the last sequence that it got."""

    project: ProjectKey
    uid: str
    sequence: int


class EventSource(Protocol):
    """The events of all chats or calls. `uid` names one of them. What it has outlives the process.

    Methods raise `StoreError`.
    """

    async def undelivered(self) -> Sequence[Undelivered]:
        """Return what an earlier run left."""

    async def events(self, project: ProjectKey, uid: str, *, after: int, limit: int) -> Sequence[Event]:
        """Return the events with a sequence over `after`, in their order."""

    def mark_delivered(self, project: ProjectKey, uid: str, sequence: int) -> None:
        """Note that the webhook has got the events up to this sequence. Written within a moment. Does not raise."""
