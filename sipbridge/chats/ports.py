"""The Protocols between chats and the other packages.

`cxone.digital`, `store`, `web`, `webhooks` and `telemetry` implement or use them. Tests have a hand-written fake of
each. Another contact centre would be one more `DigitalChannel`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from sipbridge.chats.happenings import ChannelHappening
from sipbridge.chats.model import (
    Attachment,
    AttachmentFile,
    BotMessage,
    ChatEvent,
    ChatRecord,
    Delivery,
    DeliveryStatus,
    EndRequest,
)


@dataclass(frozen=True, slots=True)
class Availability:
    """If human agents can take a chat now. `reason` says why it is not known, or why there are none."""

    status: Literal["online", "offline", "unknown"]
    agents_available: int | None = None
    queue_count: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the human agent. `id` is the one that CXone gets, always the same for the same message.

    `opens` is true for the first message of the chat, which opens the contact. `repeated` is true if an earlier run may
    have handed it over already. A long message is handed over in parts, one after the other: `letter` is the same for
    all of them, and `part` counts from 0.
    """

    id: str
    text: str
    attachments: Sequence[Attachment] = ()
    opens: bool = False
    repeated: bool = False
    letter: str = ""
    part: int = 0


BOX_SECONDS = 20.0  # for a box to take a message until it is stored; the contact centre waits for the response


@dataclass(frozen=True, slots=True)
class BoxMessage:
    """A message of the human agent that a box has taken."""

    id: str
    at: datetime


class ChannelBox(Protocol):
    """A channel that the contact centre calls: it gets a token first, then posts what the human agent does."""

    def issue_token(self, client_id: str, client_secret: str) -> tuple[str, int] | None:
        """Return a token and its life in seconds; None for wrong credentials."""

    def accepts_token(self, token: str) -> bool:
        """True if a token was issued for this box and has not expired."""

    async def take_message(self, thread_id: str, body: Mapping[str, Any]) -> BoxMessage | None:
        """Take a message; return it once it is stored. None if no live chat has the thread.

        Raises `TimeoutError` after `BOX_SECONDS`, and `HttpWithheld` if another node may have the chat.
        """

    def show_typing(self, thread_id: str, *, on: bool) -> bool:
        """Pass on that the human agent types; return False if no live chat has the thread."""

    def release(self, thread_id: str) -> bool:
        """End a chat at the request of a script; return False if no live chat has the thread."""


Report = Callable[[ChannelHappening], None]


class ChannelSession(Protocol):
    """One chat at the contact centre."""

    async def run(self) -> None:
        """Open the channel for the chat, or find the chat again, and keep it open until cancelled.

        Reports what happens, and what happened while there was no connection. Returns if the channel has refused the
        chat or lost it for good, after it has reported `ChannelFailed`.
        """

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        """Hand a message over, once; return its fate, and the reason if it failed.

        Waits for a connection as long as it takes. If CXone's response was lost, CXone is asked before anything is sent
        again; if it cannot be asked, the status is `UNKNOWN`.
        """

    def may_have(self, message: Outgoing) -> bool:
        """True if CXone may have a message: it was sent, perhaps by an earlier run, and not merely waiting to be."""

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types, as far as the channel can."""

    def throttle(self, on: bool) -> None:  # noqa: FBT001 (its one argument)
        """Take nothing more from CXone while `on`: too much waits to be stored.

        A channel whose messages wait until they are stored has nothing to do.
        """

    async def end(self, closing_text: str) -> None:
        """End the contact on behalf of the customer. A channel that cannot do so sends the text instead.

        If it is not known that there is a contact, CXone is asked: the text must not open one.
        """


class DigitalChannel(Protocol):
    """A channel of a project into the contact centre. It may outlive its configuration version."""

    @property
    def max_characters(self) -> int:
        """The number of characters that one message may have; longer ones are split."""

    @property
    def links_are_text(self) -> bool:
        """True if the text of a message has the links of its attachments, so that the session only checks these.

        The first part of a message has the attachments then, and the last one otherwise.
        """

    async def availability(self) -> Availability:
        """Ask for human agents. Never raises."""

    def session(
        self, record: ChatRecord, *, resumed: bool, report: Report, is_new: Callable[[str], bool]
    ) -> ChannelSession:
        """Return the session of a chat that is new, or that an earlier run left open (`resumed`).

        `is_new` is false for the ids of those messages of the human agent that the bot has.
        """


ChatEntry = BotMessage | Delivery | EndRequest | ChatEvent | AttachmentFile


@dataclass(frozen=True, slots=True)
class ChatChange:
    """The additions of one step of a chat to the store: a new version of the record, and entries. All or nothing.

    `step` counts the steps of a chat since the start of the program, from 1. If one could not be written, the store
    refuses those after it until that is written: no event may be missing before another one. Requests of the bot are
    not counted.
    """

    uid: str
    record: ChatRecord | None = None
    entries: Sequence[ChatEntry] = ()
    step: int | None = None


@dataclass(frozen=True, slots=True)
class StoredChat:
    """A stored chat: the record, and the entries of each kind in the order in which they were added, without files."""

    record: ChatRecord
    messages: Sequence[BotMessage] = ()
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    end_request: EndRequest | None = None
    events: Sequence[ChatEvent] = ()


class ChatStore(Protocol):
    """The chats, which outlive the process. Methods raise `StoreError`.

    What a method has written survives SIGKILL once it returns, and a loss of power a second later.
    """

    async def create(self, record: ChatRecord) -> ChatRecord:
        """Write a new chat; return it, or the chat of the same client, project and `chat_id` if there is one."""

    def write(self, change: ChatChange) -> asyncio.Future[None]:
        """Write a change; await the result. Changes are written in the order in which this was called.

        One that cannot be encoded fails with `NotStorable` before this returns, also while the store fails.
        """

    async def get(self, client: str, project: str, chat_id: str) -> ChatRecord | None:
        """Return the record of a chat."""

    async def get_shared(self, client: str, project: str, shared_id: str) -> ChatRecord | None:
        """Return the newest record with that shared id."""

    async def list_chats(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[ChatRecord]:
        """Return records of a project that started before `before`, newest first."""

    async def read(self, uid: str) -> StoredChat | None:
        """Return a chat with all its entries."""

    async def events(self, uid: str, *, after: int, limit: int = 500) -> list[ChatEvent]:
        """Return the events with a sequence over `after`, in their order."""

    def follow(
        self, uid: str, listener: Callable[[Sequence[ChatEvent]], Awaitable[None]]
    ) -> AbstractAsyncContextManager[None]:
        """Pass on the events that another process adds to a chat while the block runs, if others share the store."""

    async def attachment(self, uid: str, attachment_id: str) -> AttachmentFile | None:
        """Return a file of the human agent."""

    async def unfinished(self, without: Collection[str] = ()) -> list[StoredChat]:
        """Return the chats of this node that are not over, except those with these uids."""

    async def undelivered(self, among: Collection[str] | None = None) -> list[tuple[ChatRecord, int]]:
        """Return the chats of this node with events that the webhook did not get yet, each with the last that it got.

        `among` limits them to those with these uids.
        """

    def mark_delivered(self, uid: str, sequence: int) -> None:
        """Note that the webhook has got the events up to this sequence. Written within a moment."""

    async def delete(self, client: str, project: str, chat_id: str) -> bool:
        """Erase a chat that is over for good; return False if there is none."""

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase all chats that are over with that shared id; return their number."""

    async def close(self) -> None:
        """Write what is queued and close."""


class EventSink(Protocol):
    """A receiver of the events of all chats, each of which is in the store already, except typing."""

    def publish(self, record: ChatRecord, event: ChatEvent) -> None:
        """Take an event. Must be quick and must not raise."""


class ChatControl(Protocol):
    """A chat, as the requests of the bot reach it."""

    @property
    def record(self) -> ChatRecord:
        """The present state of the chat."""

    async def accept_message(self, message: BotMessage) -> None:
        """Store a message for the human agent; it will be delivered. The same one again changes nothing.

        Raises `ChatConflict` if the id is that of another message, the chat has ended or has too many messages;
        `ChatsUnavailable` if too many wait to be delivered; and `StoreError`.
        """

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types. Raises `ChatConflict` if the chat has ended."""

    async def request_end(self, request: EndRequest) -> None:
        """End the chat. A second request changes nothing.

        Raises `ChatConflict` if the chat has ended in another way, and `StoreError`.
        """


class LiveChat(ChatControl, Protocol):
    """A chat in progress, as the API sees and controls it."""

    @property
    def is_released(self) -> bool:
        """True if another node goes on with the chat, and this one has not quite ended its part."""

    def accepts_key(self, candidate: str) -> bool:
        """True if this is an API key of the project, by the configuration version of the chat."""


class ChatDirectory(Protocol):
    """An index of the chats in progress."""

    def find(self, client: str, project: str, chat_id: str) -> LiveChat | None:
        """Return a chat in progress of that project."""

    def find_shared(self, client: str, project: str, shared_id: str) -> LiveChat | None:
        """Return the newest chat in progress with that shared id."""

    def of_project(self, client: str, project: str) -> Sequence[LiveChat]:
        """Return all chats in progress of a project, newest first."""

    def newest(self) -> Iterable[LiveChat]:
        """Return all chats in progress, newest first."""


ChannelState = Mapping[str, Any]
