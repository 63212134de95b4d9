"""The start of chats, at the request of bots and after a restart, and their interruption by a stop."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from sipbridge.chats.chat import Chat
from sipbridge.chats.context import ChatContext
from sipbridge.chats.events import ChatEnded, ChatStarted
from sipbridge.chats.fields import PopUrl, custom_fields
from sipbridge.chats.model import ChatEvent, ChatEventType, ChatRecord, ChatState
from sipbridge.chats.polyai import INTEGRATION
from sipbridge.chats.ports import Availability, ChatChange, StoredChat
from sipbridge.chats.request import ChatRequest
from sipbridge.chats.session import run_chat
from sipbridge.config import ChatConfig, ProjectConfig
from sipbridge.errors import ChatConflict, ChatsUnavailable, HandoffInvalid
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord, HandoffState

logger = logging.getLogger(__name__)


class Reception:
    """Starts chats and knows their tasks. Belongs to one event loop. `context` returns the latest configuration.

    `recovered` is true once the chats of the last run go on.
    """

    def __init__(self, context: Callable[[], ChatContext]) -> None:
        self._context = context
        self._tasks: dict[asyncio.Task[None], Chat] = {}
        self._draining = False
        self._closed = False
        self.recovered = False
        # The uids of chats that started before the recovery read the store, which returns them too.
        self._started: set[str] = set()

    @property
    def active(self) -> int:
        """The number of chats in progress."""
        return len(self._tasks)

    def contexts_in_use(self) -> list[ChatContext]:
        """Return the configuration versions of the chats in progress."""
        return [chat.context for chat in self._tasks.values()]

    async def availability(self, client: str, project: str, channel: str | None) -> tuple[str, Availability]:
        """Ask a channel for human agents; return its name and the answer. Raises `HandoffInvalid`."""
        context = self._context()
        name = _channel_name(_settings(context, client, project)[1], channel)
        return name, await context.channels[client, project, name].availability()

    async def start(self, client: str, project: str, request: ChatRequest) -> ChatRecord:
        """Start a chat; return its record, or that of the same request if it was sent before.

        Raises `HandoffInvalid`, `ChatConflict` if another request had the same id, `ChatsUnavailable` or `StoreError`.
        """
        context = self._context()
        project_config, settings = _settings(context, client, project)
        name = _channel_name(settings, request.channel)
        live = context.registry.find(client, project, request.id)
        if live is None:
            self._check_capacity(context)
        record = _new_record(client, project, name, request, settings, context.pop_url)
        if not self.recovered:
            self._started.add(record.uid)
        found = live.record if live else await context.store.create(record)
        if found.digest != record.digest:
            raise ChatConflict(f"this project has another chat with the id {request.id}")
        if found.uid == record.uid:
            channel = context.channels[client, project, name]
            self._run(Chat(StoredChat(record), context, project_config, settings, channel, resumed=False))
        return found

    async def recover(self) -> None:
        """Go on with the chats that an earlier run left open. Raises `StoreError`."""
        for stored in await self._context().store.unfinished():
            if self._closed:
                return
            context, record = self._context(), stored.record
            if record.uid in self._started:
                continue
            project = context.config.find_project(record.client, record.project)
            channel = context.channels.get((record.client, record.project, record.channel))
            if project is None or project.chat is None or channel is None:
                await _give_up(context, stored)
            else:
                self._run(Chat(stored, context, project, project.chat, channel, resumed=True))
        self.recovered = True
        self._started.clear()

    def drain(self) -> None:
        """Take no new chats. Those in progress go on until `suspend`."""
        self._draining = True

    async def suspend(self) -> None:
        """Interrupt all chats and take no new ones. The next start goes on with them."""
        self._draining = self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            chats = f"{len(tasks)} chat{'' if len(tasks) == 1 else 's'}"
            logger.info("%s suspended until the next start", chats, extra={"event": "chats_suspended"})

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

    def _check_capacity(self, context: ChatContext) -> None:
        if self._draining:
            raise ChatsUnavailable("the bridge is draining; try again after its restart")
        if self.active >= context.config.max_chats:
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
    return record.model_copy(update={"custom_fields": fields})


async def _give_up(context: ChatContext, stored: StoredChat) -> None:
    """End a chat whose channel the configuration does not have any more."""
    record = stored.record
    sequence = max((event.sequence or 0 for event in stored.events), default=0) + 1
    is_active = record.active_at is not None
    ended = record.model_copy(
        update={
            "state": ChatState.ENDED if is_active else ChatState.FAILED,
            "ended_at": datetime.now(UTC),
            "ended_by": "bridge",
            "result": Result.CLIENT_ERROR,
            "reason": "not_configured",
        }
    )
    event = ChatEvent(
        id=record.event_id(sequence),
        sequence=sequence,
        chat_id=record.chat_id,
        type=ChatEventType.CHAT_ENDED if is_active else ChatEventType.HANDOFF_FAILED,
        at=datetime.now(UTC),
        payload={"by": "bridge", "reason": "not_configured"} if is_active else {"reason": "not_configured"},
    )
    await context.store.write(ChatChange(record.uid, ended, [event]))
    context.sink.publish(ended, event)
    context.observe(ChatStarted(record, resumed=True))
    context.observe(ChatEnded(ended))
