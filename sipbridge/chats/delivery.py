"""The delivery of the bot's messages to the human agent: in order, one after the other, each once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sipbridge.aio import cancel_and_wait
from sipbridge.chats.happenings import AllHandedOver, Delivered
from sipbridge.chats.model import DeliveryStatus
from sipbridge.chats.ports import ChannelSession, Outgoing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the bot, in the parts that the channel takes. `id` is None for the first message, which is ours."""

    id: str | None
    parts: Sequence[Outgoing]


class Outbox:
    """The messages of one chat that wait to be handed over. A task exists only while there are any."""

    def __init__(self, session: ChannelSession, report: Callable[[Delivered | AllHandedOver], None]) -> None:
        self._session = session
        self._report = report
        self._waiting: deque[Letter] = deque()
        self._task: asyncio.Task[None] | None = None
        self._started = False
        self._announces_end = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, letter: Letter) -> None:
        """Add a message behind those that wait."""
        self._waiting.append(letter)
        self._run_if_needed()

    def start(self) -> None:
        """Begin to hand over."""
        self._started = True
        self._run_if_needed()

    def _run_if_needed(self) -> None:
        if self._started and self._waiting and self._task is None:
            self._task = asyncio.create_task(self._run())

    def announce_end(self) -> None:
        """Report `AllHandedOver` once nothing waits."""
        self._announces_end = True
        if not self._waiting:
            self._report(AllHandedOver())

    @property
    def may_have_opened(self) -> bool:
        """True if the first message is not confirmed, but CXone may have it: then there is a contact."""
        first = self._waiting[0] if self._waiting else None
        return first is not None and first.id is None and self._is_in_doubt(first)

    async def close(self) -> list[tuple[str, DeliveryStatus]]:
        """Stop; return the messages that were not handed over, oldest first, and what is known about each."""
        self._started = False
        fates = [(letter.id, self._fate(letter)) for letter in self._waiting if letter.id is not None]
        if self._task is not None:
            await cancel_and_wait(self._task)
        return fates

    def _fate(self, letter: Letter) -> DeliveryStatus:
        """Return the fate of a message that is not handed over any more."""
        return DeliveryStatus.UNKNOWN if self._is_in_doubt(letter) else DeliveryStatus.FAILED

    def _is_in_doubt(self, letter: Letter) -> bool:
        return any(map(self._session.may_have, letter.parts))

    async def _run(self) -> None:
        try:
            while self._waiting:
                letter = self._waiting[0]
                try:
                    status, reason = await self._hand_over(letter)
                except Exception:  # it would fail again, and others wait behind it
                    logger.exception("a message was not handed over", extra={"event": "internal_error"})
                    status, reason = self._fate(letter), "internal_error"
                self._waiting.popleft()
                self._report(Delivered(letter.id, status, reason))
            if self._announces_end:
                self._report(AllHandedOver())
        finally:
            self._task = None

    async def _hand_over(self, letter: Letter) -> tuple[DeliveryStatus, str]:
        """Hand all parts over. A part that failed ends the message; one whose fate is not known makes it unknown."""
        worst, why = DeliveryStatus.DELIVERED, ""
        for part in letter.parts:
            status, reason = await self._session.send(part)
            if status is DeliveryStatus.FAILED:
                return status, reason
            if status is DeliveryStatus.UNKNOWN:
                worst, why = status, reason
        return worst, why
