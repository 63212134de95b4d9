from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from sipbridge.chats.model import ChatEvent, ChatEventType, ChatRecord, ChatState, Customer
from sipbridge.chats.ports import ChatChange, EventSink
from sipbridge.config import ProjectKey
from sipbridge.dns import Resolver
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.webhooks import ChatSource, ChatWebhooks, DeliveryOutcome, DeliveryResult, Webhook, WebhookSender
from sipbridge.webhooks.backoff import Backoff
from tests.fakes.chat_store import FakeChatStore

from .receiver import Receiver, receiving

SECRET = b"0123456789abcdef"
BOT = ProjectKey("acme", "bot")
OTHER = ProjectKey("acme", "other")
QUICK = Backoff(first_seconds=0.02, most_seconds=0.1)


@dataclass
class Clock:
    """A wall clock that a test may set forward."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class World:
    """A sender with its store, its clock, and the webhooks of its configuration."""

    store: FakeChatStore
    webhooks: dict[ProjectKey, Webhook]
    clock: Clock = field(default_factory=Clock)
    outcomes: list[DeliveryOutcome] = field(default_factory=list)
    sender: WebhookSender = field(init=False)

    def make_sender(self, backoff: Backoff = QUICK, resolver: Resolver | None = None) -> WebhookSender:
        return WebhookSender(
            ChatSource(self.store),
            self.webhooks.get,
            resolver or Resolver(time.monotonic),
            self.outcomes.append,
            now=self.clock,
            backoff=backoff,
        )

    def publish(self, record: ChatRecord, event: ChatEvent) -> None:
        ChatWebhooks(self.sender, self.store).publish(record, event)

    def results(self) -> list[DeliveryResult]:
        return [outcome.result for outcome in self.outcomes]

    async def until_nothing_waits(self, seconds: float = 5) -> None:
        """Wait until each event was delivered or is lost."""
        await until(lambda: not self.sender.backlog(), seconds)

    async def chat(self, chat_id: str = "c1", project: ProjectKey = BOT) -> Chat:
        return Chat(self, await self.store.create(make_record(chat_id, project)))


@dataclass
class Chat:
    """A chat that stores and publishes events."""

    world: World
    record: ChatRecord
    sequence: int = 0

    async def emit(self, text: str = "hello", *, at: datetime | None = None) -> ChatEvent:
        event = await self.store(text, at=at)
        self.world.publish(self.record, event)
        return event

    async def store(self, text: str = "hello", *, at: datetime | None = None) -> ChatEvent:
        self.sequence += 1
        event = make_event(self.record, self.sequence, text, at or self.world.clock())
        await self.world.store.write(ChatChange(self.record.uid, entries=[event]))
        return event

    def type(self, *, at: datetime | None = None) -> None:
        event = ChatEvent(
            id=str(uuid.uuid4()),
            sequence=None,
            chat_id=self.record.chat_id,
            type=ChatEventType.AGENT_TYPING,
            at=at or self.world.clock(),
            payload={"state": "started"},
        )
        self.world.publish(self.record, event)

    async def undelivered(self) -> int | None:
        """Return the last sequence that the webhook got, or None if it got all."""
        left = {record.uid: sequence for record, sequence in await self.world.store.undelivered()}
        return left.get(self.record.uid)


def make_event(record: ChatRecord, sequence: int, text: str, at: datetime) -> ChatEvent:
    return ChatEvent(
        id=str(uuid.uuid4()),
        sequence=sequence,
        chat_id=record.chat_id,
        type=ChatEventType.AGENT_MESSAGE,
        at=at,
        payload={"message_id": f"m{sequence}", "text": text, "attachments": []},
    )


def make_record(chat_id: str = "c1", project: ProjectKey = BOT, state: ChatState = ChatState.ACTIVE) -> ChatRecord:
    now = datetime.now(UTC)
    handoff = HandoffRecord(
        state=HandoffState.INITIATED,
        shared_id=chat_id,
        destination="web",
        method="release",
        reason="asked",
        requested_by="api",
        handoff_at=now,
    )
    return ChatRecord(
        uid=str(uuid.uuid4()),
        chat_id=chat_id,
        client=project.client,
        project=project.project,
        channel="web",
        digest="d",
        customer=Customer(),
        state=state,
        started_at=now,
        handoff=handoff,
    )


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def world(receiver: Receiver) -> AsyncIterator[World]:
    world = World(FakeChatStore(), {BOT: Webhook(receiver.url, SECRET)})
    world.sender = world.make_sender()
    world.sender.start()
    yield world
    await world.sender.close()


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (conditions without an event)
            await asyncio.sleep(0.01)


def _is_a_sink(webhooks: ChatWebhooks) -> EventSink:
    return webhooks
