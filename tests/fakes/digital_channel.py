"""A digital channel in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sipbridge.chats.happenings import ChannelHappening
from sipbridge.chats.model import ChatRecord, DeliveryStatus
from sipbridge.chats.ports import Availability, Outgoing, Report

Fate = tuple[DeliveryStatus, str] | asyncio.Future[None] | Exception

_DELIVERED = (DeliveryStatus.DELIVERED, "")


@dataclass
class FakeSession:
    """Implements `ChannelSession`. The test reports what happens by `report`.

    `sent` has the messages that were handed over. `fates` are the results of messages by their text: an error is
    raised, and a future makes the message wait for it. The message was sent before that, unless its text is in
    `unsent`. `ended_with` is the closing text; the end of the contact waits for `end_held`.
    """

    record: ChatRecord
    resumed: bool
    report: Report
    fates: dict[str, Fate] = field(default_factory=dict)
    unsent: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    sent: list[Outgoing] = field(default_factory=list)
    typing: list[bool] = field(default_factory=list)
    throttled: list[bool] = field(default_factory=list)
    ended_with: str | None = None
    end_held: asyncio.Event | None = None
    running: bool = False

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.running = False

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        fate = self.fates.get(message.text, _DELIVERED)
        if message.text not in self.unsent:
            self.begun.add(message.id)
        if isinstance(fate, asyncio.Future):
            await fate
            fate = _DELIVERED
        if isinstance(fate, Exception):
            raise fate
        self.sent.append(message)
        return fate

    def may_have(self, message: Outgoing) -> bool:
        return message.repeated or message.id in self.begun

    def set_typing(self, *, on: bool) -> None:
        self.typing.append(on)

    def throttle(self, on: bool) -> None:  # noqa: FBT001 (as the Protocol)
        self.throttled.append(on)

    async def end(self, closing_text: str) -> None:
        self.ended_with = closing_text
        if self.end_held is not None:
            await self.end_held.wait()

    @property
    def texts(self) -> list[str]:
        """The texts that were handed over."""
        return [message.text for message in self.sent]


class FakeChannel:
    """Implements `DigitalChannel`. `sessions` are those that it made, oldest first."""

    def __init__(self, max_characters: int = 10_000) -> None:
        self.max_characters = max_characters
        self.links_are_text = False
        self.found = Availability("online")
        self.asked = 0
        self.availability_held: asyncio.Event | None = None
        self.fates: dict[str, Fate] = {}
        self.unsent: set[str] = set()
        self.end_held: asyncio.Event | None = None
        self.sessions: list[FakeSession] = []

    async def availability(self) -> Availability:
        self.asked += 1
        if self.availability_held is not None:
            await self.availability_held.wait()
        return self.found

    def session(
        self,
        record: ChatRecord,
        *,
        resumed: bool,
        report: Report,
        is_new: Callable[[str], bool],  # noqa: ARG002 (the chat drops what the bot has)
    ) -> FakeSession:
        session = FakeSession(record, resumed, report, self.fates, self.unsent, end_held=self.end_held)
        self.sessions.append(session)
        return session

    def happens(self, happening: ChannelHappening) -> None:
        """Report what happens to the newest chat."""
        self.sessions[-1].report(happening)
