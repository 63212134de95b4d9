"""The happenings of a chat, from CXone, from the bot or by the clock: all of them arrive in one inbox."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sipbridge.chats.model import Attachment, AttachmentFile, DeliveryStatus, EndRequest, HumanAgent

# ------------------------------------------------------------ from the channel


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The position of the customer in the queue, counted from 1. None is not known."""

    queue_name: str | None = None
    position: int | None = None
    estimated_wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class AgentJoined:
    """A human agent was assigned. Also after a transfer, and again whenever CXone repeats it."""

    agent: HumanAgent


@dataclass(frozen=True, slots=True)
class AgentLeft:
    """No human agent is assigned any more. The contact stays: another one may join."""


@dataclass(frozen=True, slots=True)
class AgentTyping:
    """The human agent started (`on`) or stopped typing."""

    on: bool


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """A message of the human agent. The channel may report it more than once, with the same `message_id`.

    `attachments` have links that last, `files` are kept by the bridge. `stored` is resolved once the bot will get the
    message, if the channel waits for that.
    """

    message_id: str
    text: str
    at: datetime
    attachments: tuple[Attachment, ...] = ()
    agent: HumanAgent | None = None
    stored: asyncio.Future[None] | None = None
    files: tuple[AttachmentFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactClosed:
    """CXone closed the contact, at the end of the human agent or before one had joined."""

    reason: str = "closed"


@dataclass(frozen=True, slots=True)
class ChannelFailed:
    """The channel refused the chat, or lost it for good. `reason` is a short lower-case word."""

    reason: str


@dataclass(frozen=True, slots=True)
class ChannelUnreachable:
    """The channel could not be opened so far, and goes on trying. `reason` as in `ChannelFailed`."""

    reason: str


@dataclass(frozen=True, slots=True)
class ExpiryNear:
    """CXone itself will end the contact in that many seconds."""

    seconds_left: int


@dataclass(frozen=True, slots=True)
class ChannelStateChanged:
    """The values that the channel needs to go on after a restart.

    `stored` is resolved once they are in the store, if the channel waits for that.
    """

    state: Mapping[str, Any]
    stored: asyncio.Future[None] | None = None


# ------------------------------------------------------------ from the bot


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message was handed over to CXone, or cannot be. `id` is None for the first message, which is ours."""

    id: str | None
    status: DeliveryStatus
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """The bot wants to end the chat."""

    request: EndRequest


@dataclass(frozen=True, slots=True)
class AllHandedOver:
    """After the bot wanted to end the chat: its last message was handed over."""


@dataclass(frozen=True, slots=True)
class CxoneNotified:
    """After the end of the chat: the attempt to end the contact at CXone is over."""


# ------------------------------------------------------------ from the store


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step of the chat could not be stored."""


# ------------------------------------------------------------ by the clock


class Deadline(StrEnum):
    """The time limits of a chat, and of its end."""

    QUEUE = "queue"
    INACTIVITY_WARNING = "inactivity_warning"
    INACTIVITY = "inactivity"
    EXPIRY = "expiry"
    LAST_MESSAGES = "last_messages"
    NOTIFICATION = "notification"


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """A time limit was reached."""

    deadline: Deadline


ChannelHappening = (
    QueuePosition
    | AgentJoined
    | AgentLeft
    | AgentTyping
    | AgentMessage
    | ContactClosed
    | ChannelFailed
    | ChannelUnreachable
    | ExpiryNear
    | ChannelStateChanged
)
Happening = ChannelHappening | Delivered | EndRequested | AllHandedOver | CxoneNotified | StepFailed | DeadlinePassed


def resolve(stored: asyncio.Future[None] | None) -> None:
    """Resolve the future of a channel that waits until a happening is stored."""
    if stored is not None and not stored.done():
        stored.set_result(None)


FULL = 200  # happenings that wait, in memory with their files; a chat stores some hundred per second


class Inbox:
    """The one thing that a chat awaits. Belongs to one event loop, and has one reader.

    `throttle` is called with true when the inbox is full, and with false once half of that is handled. Typing of the
    human agent, which is not stored, is dropped while the inbox is full.
    """

    def __init__(self) -> None:
        self.throttle: Callable[[bool], None] = lambda _: None
        self._loop = asyncio.get_running_loop()
        self._happened: deque[Happening] = deque()
        self._is_full = False
        self._deadlines: dict[Deadline, float] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def put(self, happening: Happening) -> None:
        """Add a happening."""
        if self._is_full and isinstance(happening, AgentTyping):
            return
        self._happened.append(happening)
        if len(self._happened) >= FULL and not self._is_full:
            self._is_full = True
            self.throttle(True)  # noqa: FBT003 (its one argument)
        self._wake()

    def set_deadline(self, deadline: Deadline, seconds: float | None) -> None:
        """Pass the deadline in that many seconds, instead of when it was due before; None cancels it."""
        if seconds is None:
            self._deadlines.pop(deadline, None)
        else:
            self._deadlines[deadline] = until = self._loop.time() + seconds
            if self._waiter is not None:
                self._set_timer(until)

    def stop_clock(self) -> None:
        """Cancel all deadlines. Until then the loop refers to the inbox, and by that to the chat."""
        self._deadlines.clear()
        self._set_timer(None)

    def drain(self) -> list[Happening]:
        """Return all that has happened and was not read yet. Deadlines are not among it."""
        happened = list(self._happened)
        self._happened.clear()
        self._note_handled()
        return happened

    async def next(self) -> Happening:
        """Return the oldest happening, or the deadline that passes first."""
        while not self._happened:
            deadline = min(self._deadlines, key=self._deadlines.__getitem__, default=None)
            if deadline is not None and self._deadlines[deadline] <= self._loop.time():
                del self._deadlines[deadline]
                return DeadlinePassed(deadline)
            await self._wait(None if deadline is None else self._deadlines[deadline])
        happening = self._happened.popleft()
        self._note_handled()
        return happening

    def _note_handled(self) -> None:
        if self._is_full and len(self._happened) <= FULL // 2:
            self._is_full = False
            self.throttle(False)  # noqa: FBT003 (its one argument)

    async def _wait(self, until: float | None) -> None:
        """Wait for a happening, at most until then."""
        self._waiter = self._loop.create_future()
        self._set_timer(until)
        try:
            await self._waiter
        except asyncio.CancelledError:
            self._set_timer(None)
            raise
        finally:
            self._waiter = None

    def _set_timer(self, until: float | None) -> None:
        """Wake the reader then. A timer that is due earlier stays: it costs less than another one per happening."""
        if self._timer is not None:
            if until is not None and self._timer.when() <= until:
                return
            self._timer.cancel()
        self._timer = None if until is None else self._loop.call_at(until, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
