"""The start of chats, at the request of bots and after a restart, and their interruption by a stop."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sipbridge.aio import independent_task
from sipbridge.chats.availability import AvailabilityCache
from sipbridge.chats.chat import Chat
from sipbridge.chats.context import ChatContext
from sipbridge.chats.endings import NOT_HANDED_OVER, changes, channel_failed, last_event
from sipbridge.chats.events import ChatEnded, ChatStarted
from sipbridge.chats.fields import PopUrl, custom_fields
from sipbridge.chats.model import ChatRecord, ChatState, Delivery, DeliveryStatus
from sipbridge.chats.polyai import INTEGRATION
from sipbridge.chats.ports import Availability, ChatChange, StoredChat
from sipbridge.chats.request import ChatRequest
from sipbridge.chats.session import run_chat
from sipbridge.config import ChatConfig, ProjectConfig
from sipbridge.errors import ChatConflict, ChatsUnavailable, HandoffInvalid, StoreError
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord, HandoffState

_Key = tuple[str, str, str]  # client, project, the bot's id of the conversation

_RETRY_SECONDS = 5.0  # between two tries to read the chats of the last run

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Start:
    """A chat that is being stored, with the configuration version that it will use."""

    record: ChatRecord
    context: ChatContext
    task: asyncio.Task[ChatRecord]


class Reception:
    """Starts chats and knows their tasks. Belongs to one event loop. `context` returns the latest configuration.

    `recovered` is true once the chats of the last run go on.
    """

    def __init__(self, context: Callable[[], ChatContext]) -> None:
        self._context = context
        self._tasks: dict[asyncio.Task[None], Chat] = {}
        self._starting: dict[_Key, _Start] = {}
        self._availability = AvailabilityCache()
        self._draining = False
        self._closed = False
        self.recovered = False
        self._resuming = asyncio.Lock()
        # While chats are resumed: the uids of those that run already, or ran, which the store returns as well.
        self._started: set[str] = set()
        self._releases = 0

    @property
    def active(self) -> int:
        """The number of chats in progress."""
        return len(self._tasks)

    def contexts_in_use(self) -> list[ChatContext]:
        """Return the configuration versions of the chats in progress."""
        return [*{chat.context for chat in self._tasks.values()}, *(start.context for start in self._starting.values())]

    async def availability(self, client: str, project: str, channel: str | None) -> tuple[str, Availability]:
        """Return the name of a channel and its availability of a moment ago. Raises `HandoffInvalid`."""
        context = self._context()
        name = _channel_name(_settings(context, client, project)[1], channel)
        asked = context.channels.get((client, project, name))
        if asked is None:
            return name, Availability("unknown", reason="the bridge is starting")
        return name, await self._availability.of(asked)

    async def start(self, client: str, project: str, request: ChatRequest) -> ChatRecord:
        """Start a chat; return its record, or that of the same request if it was sent before.

        Raises `HandoffInvalid`, `ChatConflict` if another request had the same id, `ChatsUnavailable` or `StoreError`.
        """
        context = self._context()
        live = context.registry.find(client, project, request.id)
        found = live.record if live else await self._begin_or_find(context, client, project, request)
        if found.digest != request.digest:
            raise ChatConflict(f"this project has another chat with the id {request.id}")
        return found

    async def _begin_or_find(self, context: ChatContext, client: str, project: str, request: ChatRequest) -> ChatRecord:
        try:
            return await self._begin(context, client, project, request)
        except (HandoffInvalid, ChatsUnavailable):
            # A repeated request gets its response, whatever has changed since: the load, a drain, the configuration.
            if (found := await context.store.get(client, project, request.id)) is not None:
                return found
            raise

    async def _begin(self, context: ChatContext, client: str, project_id: str, request: ChatRequest) -> ChatRecord:
        """Store a chat and run it; return it, or the one that was requested earlier with its id."""
        key = (client, project_id, request.id)
        if key not in self._starting:
            project, settings = _settings(context, client, project_id)
            name = _channel_name(settings, request.channel)
            record = _new_record(client, project_id, name, request, settings, context.pop_url)
            self._check_capacity()
            if (client, project_id, name) not in context.channels:
                raise ChatsUnavailable("the bridge is starting; try again in a moment")
            # A task of its own: what was stored runs too, even if the bot disconnects meanwhile. Not named here, as its
            # error refers to this frame.
            self._starting[key] = _Start(
                record,
                context,
                independent_task(self._store_and_run(key, record, context, project, settings)),
            )
        return await asyncio.shield(self._starting[key].task)

    async def _store_and_run(
        self, key: _Key, record: ChatRecord, context: ChatContext, project: ProjectConfig, settings: ChatConfig
    ) -> ChatRecord:
        if self._resuming.locked():
            self._started.add(record.uid)
        releases = self._releases
        try:
            channel = context.channels[record.client, record.project, record.channel]
            found = await context.store.create(record)
            # A chat that was released while it was stored goes on at another node.
            if found.uid == record.uid and not self._closed and releases == self._releases:
                self._run(Chat(StoredChat(record), context, project, settings, channel, resumed=False))
        finally:
            del self._starting[key]
        return found

    async def recover(self) -> None:
        """Go on with the chats that an earlier run left open. While the store fails, this is repeated."""
        while not self._closed and not self.recovered:
            try:
                await self.resume()
            except StoreError as error:
                extra = {"event": "store_failing"}
                logger.error("chats of the last run not resumed yet: %s", error, extra=extra)  # noqa: TRY400 (the line says it all)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.recovered = not self._closed

    async def resume(self) -> None:
        """Go on with the chats in the store that are this node's and not in progress. Raises `StoreError`."""
        async with self._resuming:
            starting = {start.record.uid for start in self._starting.values()}
            self._started = starting | {chat.record.uid for chat in self._tasks.values()}
            releases = self._releases
            for stored in await self._context().store.unfinished(self._started):
                if self._closed or releases != self._releases:
                    return
                if stored.record.uid not in self._started:
                    await self._resume(stored)
            self._started = set()

    async def _resume(self, stored: StoredChat) -> None:
        context, record = self._context(), stored.record
        project = context.config.find_project(record.client, record.project)
        channel = context.channels.get((record.client, record.project, record.channel))
        if project is None or project.chat is None or channel is None:
            await _give_up(context, stored)
        else:
            self._run(Chat(stored, context, project, project.chat, channel, resumed=True))

    def drain(self) -> None:
        """Take no new chats. Those in progress go on until `suspend`."""
        self._draining = True

    @property
    def slots(self) -> int:
        """The number of chats that may still be taken."""
        return self._context().config.max_chats - self.active - len(self._starting)

    async def suspend(self) -> None:
        """Interrupt all chats and take no new ones. The next start goes on with them."""
        self._draining = self._closed = True
        tasks = [task for task, chat in self._tasks.items() if not chat.is_released]
        for task in tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        if tasks:
            chats = f"{len(tasks)} chat{'' if len(tasks) == 1 else 's'}"
            logger.info("%s suspended until the next start", chats, extra={"event": "chats_suspended"})

    async def release(self) -> list[ChatRecord]:
        """End this node's part in all chats, also those that are being stored; return them once that is done."""
        records = self.begin_release()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        return records

    def begin_release(self) -> list[ChatRecord]:
        """End this node's part in all chats within a moment, as another node goes on with them; return them."""
        self._releases += 1
        records = [chat.record for chat in self._tasks.values()] + [start.record for start in self._starting.values()]
        for task, chat in self._tasks.items():
            if not chat.is_released:
                chat.is_released = True
                task.cancel()
        return records

    def _run(self, chat: Chat) -> None:
        # At once: the bot may send its first message before the task runs.
        chat.context.registry.add(chat)
        task = asyncio.create_task(run_chat(chat))
        self._tasks[task] = chat
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        chat = self._tasks.pop(task)
        chat.context.registry.remove(chat)
        if not task.cancelled() and (error := task.exception()) is not None:
            extra = {"event": "internal_error", "client": chat.record.client, "project": chat.record.project}
            logger.error("a chat failed; the next start goes on with it", exc_info=error, extra=extra)

    def _check_capacity(self) -> None:
        if self._draining:
            raise ChatsUnavailable("the bridge is draining; try again after its restart")
        if self.slots <= 0:
            raise ChatsUnavailable("max_chats chats are in progress; try again later")


def _settings(context: ChatContext, client: str, project: str) -> tuple[ProjectConfig, ChatConfig]:
    found = context.config.find_project(client, project)
    if found is None or found.chat is None:
        raise HandoffInvalid("this project has no chat section")
    return found, found.chat


def _channel_name(settings: ChatConfig, given: str | None) -> str:
    name = given or settings.default_channel
    if name not in settings.channels:
        known = ", ".join(sorted(settings.channels))
        raise HandoffInvalid(f"unknown channel; use one of {known}, or {INTEGRATION} in handoff.text_chat of PolyAI")
    return name


def _new_record(
    client: str, project: str, channel: str, request: ChatRequest, settings: ChatConfig, pop_url: PopUrl
) -> ChatRecord:
    now = datetime.now(UTC)
    handoff = HandoffRecord(
        state=HandoffState.INITIATED,
        shared_id=request.shared_id or request.id,
        destination=channel,
        method="chat",
        reason=request.reason or channel,
        requested_by="bot",
        utterance=request.utterance,
        data=dict(request.data),
        handoff_at=now,
    )
    record = ChatRecord(
        uid=str(uuid.uuid4()),
        chat_id=request.id,
        client=client,
        project=project,
        channel=channel,
        digest=request.digest,
        customer=request.customer,
        state=ChatState.REQUESTED,
        started_at=now,
        handoff=handoff,
        transcript=request.transcript,
    )
    fields = custom_fields(settings.channels[channel], record, request, pop_url)
    return record.changed(custom_fields=fields)


async def _give_up(context: ChatContext, stored: StoredChat) -> None:
    """End a chat whose channel the configuration does not have any more."""
    record, now = stored.record, datetime.now(UTC)
    end = record.ending or channel_failed(record, "not_configured", Result.CLIENT_ERROR)
    ended = record.changed(**changes(record, end, now))
    # An earlier run may have handed them over.
    lost = [
        Delivery(id=message.id, status=DeliveryStatus.UNKNOWN, reason=NOT_HANDED_OVER, at=now)
        for message in stored.messages
        if message.id not in stored.deliveries
    ]
    first = max((event.sequence or 0 for event in stored.events), default=0) + 1
    last_events = [*(delivery.event() for delivery in lost), last_event(end)]
    events = [record.event(sequence, *event) for sequence, event in enumerate(last_events, first)]
    await context.store.write(ChatChange(record.uid, ended, [*lost, *events]))
    for event in events:
        context.sink.publish(ended, event)
    context.observe(ChatStarted(record, resumed=True))
    context.observe(ChatEnded(ended))
