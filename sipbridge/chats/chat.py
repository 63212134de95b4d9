"""One chat in progress: its record, its entries in the store, and the requests of the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sipbridge.aio import wait_any, weakly
from sipbridge.chats.context import ChatContext
from sipbridge.chats.delivery import Letter, Outbox
from sipbridge.chats.happenings import EndRequested, Inbox
from sipbridge.chats.model import (
    Attachment,
    AttachmentFile,
    BotMessage,
    ChatEvent,
    ChatEventType,
    ChatRecord,
    Delivery,
    DeliveryStatus,
    EndRequest,
    check_repeated,
)
from sipbridge.chats.ports import ChannelSession, ChatChange, DigitalChannel, Outgoing, StoredChat
from sipbridge.chats.steps import Steps
from sipbridge.chats.texts import add_links, opening_text, split_text
from sipbridge.chats.time_limits import TimeLimits
from sipbridge.config import ChatConfig, ProjectConfig, matches_any
from sipbridge.errors import ChatConflict, ChatsUnavailable

MAX_WAITING = 500  # messages of the bot that wait to be handed over, in memory with 10,000 characters each
MAX_MESSAGES = 5_000  # of the bot in one chat; its detail shows all of them
_MAX_STEPS = 20  # that are being stored at once; then the inbox fills, and the channel is throttled


class Chat:
    """Implements `chats.ports.LiveChat`. Belongs to one event loop.

    `resumed` is the stored chat if an earlier run left it open.
    """

    def __init__(
        self,
        stored: StoredChat,
        context: ChatContext,
        project: ProjectConfig,
        settings: ChatConfig,
        channel: DigitalChannel,
        *,
        resumed: bool,
    ) -> None:
        self.record = stored.record
        self.context = context
        self.project = project
        self.settings = settings
        self.channel = channel
        self.resumed = resumed
        self.inbox = Inbox()
        self.limits = TimeLimits(settings, self.inbox)
        self.session: ChannelSession = channel.session(
            stored.record, resumed=resumed, report=self.inbox.put, is_new=weakly(self.is_new)
        )
        self.inbox.throttle = weakly(self.session.throttle)
        self.outbox = Outbox(self.session, self.inbox.put)
        self.steps = Steps(stored.record, context.store, self.inbox.put)
        self._digests = {message.id: message.digest for message in stored.messages}
        # The requests that are being stored, by the id of their message; that to end the chat has None.
        self._storing: dict[str | None, asyncio.Future[None]] = {}
        self._accepted_at: dict[str, datetime] = {}
        self._sequence = max((event.sequence or 0 for event in stored.events), default=0)
        self.is_accepted = any(event.type is ChatEventType.HANDOFF_ACCEPTED for event in stored.events)
        # Those of the human agent, by their ids: True once the bot has got one, False while it is being stored.
        self._agent_messages = {
            event.payload["message_id"]: True for event in stored.events if event.type is ChatEventType.AGENT_MESSAGE
        }
        self.end_request = stored.end_request
        self.closed = stored.record.ending is not None  # accepts nothing more from the bot
        self.is_released = False  # another node gives its events to the bot
        # After the end: the messages of the bot that were not handed over.
        self.undelivered: list[tuple[str, DeliveryStatus]] = []
        self._queue_what_is_left(stored)

    def _queue_what_is_left(self, stored: StoredChat) -> None:
        """Queue the first message unless CXone has it, then the bot's messages whose fate is not known."""
        if stored.record.queued_at is None:
            texts = opening_text(
                stored.record, last=self.settings.transcript.count, otherwise=self.settings.opening_text
            )
            self.outbox.put(self._letter(None, texts, (), repeated=self.resumed))
        for message in stored.messages:
            if message.id not in stored.deliveries:
                self._queue(message, repeated=self.resumed)
        if stored.end_request is not None:
            self.inbox.put(EndRequested(stored.end_request))

    def _queue(self, message: BotMessage, *, repeated: bool) -> None:
        self._accepted_at[message.id] = message.at
        self.outbox.put(self._letter(message.id, message.text, message.attachments, repeated=repeated))

    def _letter(
        self, message_id: str | None, text: str, attachments: Sequence[Attachment], *, repeated: bool
    ) -> Letter:
        """Split a message into the parts that the channel takes. Each has the same id at CXone after a restart."""
        name = "opening" if message_id is None else f"message {message_id}"
        texts = split_text(text, self.channel.max_characters)
        with_attachments = len(texts) - 1
        if self.channel.links_are_text:
            texts = add_links(texts, [each.url for each in attachments], self.channel.max_characters)
            with_attachments = 0  # they are checked before any of them is sent
        return Letter(
            message_id,
            [
                Outgoing(
                    id=self.record.derived_id(f"{name} {number}"),
                    text=part,
                    attachments=attachments if number == with_attachments else (),
                    opens=message_id is None and number == 0,
                    repeated=repeated,
                    letter=self.record.derived_id(name),
                    part=number,
                )
                for number, part in enumerate(texts)
            ],
        )

    # ------------------------------------------------------------ the bot's requests

    def accepts_key(self, candidate: str) -> bool:
        """True if this is an API key of the project, by the configuration version of the chat."""
        return matches_any(self.project.api_keys, candidate)

    async def accept_message(self, message: BotMessage) -> None:
        """Store a message for the human agent, then queue it.

        Raises `ChatConflict`, `ChatsUnavailable` if too many wait already, or `StoreError`.
        """
        known = self._digests.get(message.id)
        check_repeated(known, message)
        if known is None:
            self._check_open()
            self._check_space()
            self._digests[message.id] = message.digest
            self._store(message.id, message, partial(self._message_stored, message))
        await self._stored(message.id)

    def _message_stored(self, message: BotMessage, error: BaseException | None) -> None:
        if error is not None:
            del self._digests[message.id]
            return
        self._queue(message, repeated=False)
        self.limits.customer_active(self.record)

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types. Raises `ChatConflict` if the chat has ended."""
        self._check_open()
        self.session.set_typing(on=on)
        self.limits.customer_active(self.record)

    async def request_end(self, request: EndRequest) -> None:
        """End the chat once its messages are delivered. Raises `StoreError`."""
        if self.end_request is None and not self.closed:
            self.end_request = request
            self._store(None, request, partial(self._end_stored, request))
        await self._stored(None)

    def _end_stored(self, request: EndRequest, error: BaseException | None) -> None:
        if error is not None:
            self.end_request = None
            return
        self.inbox.put(EndRequested(request))

    def _store(
        self, key: str | None, entry: BotMessage | EndRequest, then: Callable[[BaseException | None], None]
    ) -> None:
        """Store a request, then call `then`: what was stored takes effect, even if the bot disconnects meanwhile."""

        def done(writing: asyncio.Future[None]) -> None:
            del self._storing[key]
            then(writing.exception())

        writing = self._storing[key] = self.context.store.write(ChatChange(self.record.uid, None, [entry]))
        writing.add_done_callback(done)

    async def _stored(self, key: str | None) -> None:
        """Wait for a request that is being stored, by this or by another requester. Raises `StoreError`."""
        if (storing := self._storing.get(key)) is not None:
            await wait_any(storing)  # does not cancel it, as `asyncio.shield`, and costs less
            try:
                storing.result()
            finally:
                del storing  # else its error refers to this frame, and the frame to the error

    def _check_space(self) -> None:
        if len(self._digests) >= MAX_MESSAGES:
            raise ChatConflict(f"this chat has {MAX_MESSAGES} messages of the bot, as many as one may have")
        if len(self.outbox) + len(self._storing) >= MAX_WAITING:
            raise ChatsUnavailable(f"{MAX_WAITING} messages of this chat wait to be handed over; try again in a moment")

    def _check_open(self) -> None:
        if self.closed or self.end_request is not None:
            raise ChatConflict("the chat has ended")

    # ------------------------------------------------------------ the steps of the coroutine

    async def close(self) -> None:
        """Accept nothing more from the bot, and wait until what it has sent is stored and queued, or refused."""
        self.closed = True
        if self._storing:
            await asyncio.wait(self._storing.values())

    def is_new(self, message_id: str) -> bool:
        """True if the bot has not got this message of the human agent yet."""
        return not self._agent_messages.get(message_id)

    async def has_relayed(self, message_id: str) -> bool:
        """True if the bot has this message of the human agent. One that is being stored is waited for."""
        if self._agent_messages.get(message_id) is False:
            await self.steps.settled()
        return not self.is_new(message_id)

    async def emit(self, kind: ChatEventType, payload: dict[str, Any] | None = None, **record: object) -> bool:
        """Store an event and what changed in the record, all or nothing; then the bot gets the event.

        Waits for that, as long as the store fails. Returns False if they can never be stored.
        """
        is_step = self._add(kind, payload or {}, (), record)
        await self.steps.settled()
        return is_step

    async def relay(
        self,
        kind: ChatEventType,
        payload: dict[str, Any],
        also: Sequence[Delivery | AttachmentFile],
        then: Callable[[], None],
    ) -> bool:
        """Store an event and other entries, all or nothing; the bot gets the event after that, and `then` is called.

        Does not wait for it, so that a message and the reply to it need one commit. Returns False as `emit`.
        """
        if len(self.steps) >= _MAX_STEPS:
            await self.steps.settled()
        return self._add(kind, payload, also, {}, then)

    async def update(self, **record: object) -> None:
        """Store a change of the record without an event. Waits for that as `emit`."""
        changed = self.record.changed(**record)
        self.steps.add([], changed, partial(self._use, changed))
        await self.steps.settled()

    def _add(
        self,
        kind: ChatEventType,
        payload: dict[str, Any],
        also: Sequence[Delivery | AttachmentFile],
        record: dict[str, object],
        then: Callable[[], None] = lambda: None,
    ) -> bool:
        event = self.record.event(self._sequence + 1, kind, payload)
        changed = self.record.changed(**record) if record else None

        def take_effect() -> None:
            if changed:
                self._use(changed)
            if kind is ChatEventType.AGENT_MESSAGE:
                self._agent_messages[payload["message_id"]] = True
            self.is_accepted |= kind is ChatEventType.HANDOFF_ACCEPTED
            if not self.is_released:
                self.context.sink.publish(self.record, event)
            then()

        if not self.steps.add([*also, event], changed, take_effect):
            return False
        self._sequence += 1
        if kind is ChatEventType.AGENT_MESSAGE:
            self._agent_messages[payload["message_id"]] = False
        return True

    def _use(self, record: ChatRecord) -> None:
        self.record = record

    def publish_typing(self, state: str) -> None:
        """Give the bot an event that is neither stored nor counted: typing means nothing later."""
        event = ChatEvent(
            id=self.record.event_id(f"typing-{datetime.now(UTC).timestamp()}"),
            sequence=None,
            chat_id=self.record.chat_id,
            type=ChatEventType.AGENT_TYPING,
            at=datetime.now(UTC),
            payload={"state": state},
        )
        self.context.sink.publish(self.record, event)

    def seconds_since_accepted(self, message_id: str) -> float:
        """Return the age of a message of the bot that is delivered now."""
        accepted = self._accepted_at.pop(message_id, None)
        return (datetime.now(UTC) - accepted).total_seconds() if accepted else 0.0
