"""The human agent's messages over a bring-your-own channel: from calls to the box, and from CXone after a restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from sipbridge.chats.attachments import AttachmentContent
from sipbridge.chats.happenings import AgentJoined, AgentMessage
from sipbridge.chats.model import Attachment, AttachmentFile, ChatRecord, digest_of
from sipbridge.chats.ports import BoxMessage, Report
from sipbridge.cxone.digital.content import attachments_of, created_at, human_agent, message_text
from sipbridge.cxone.digital.values import Json, object_of, text_of
from sipbridge.errors import AttachmentError, HttpError

MAX_FILES = 10  # of one message; the others keep CXone's link

Fetch = Callable[[Attachment], Awaitable[AttachmentContent]]
MessagesAtCxone = Callable[[], Awaitable[Sequence[Json]]]
Fault = Callable[[str, str], None]


class AgentMessages:
    """The messages of one chat, each with an id that is the same in a repeated call and after a restart.

    A call to the box has no id of the message, and CXone may repeat it. So the id is derived from the content, and from
    how many messages of the chat have had that content. If a content comes again, CXone is asked how often the contact
    has it: no more often means that the call was repeated.
    """

    def __init__(
        self, record: ChatRecord, report: Report, at_cxone: MessagesAtCxone, fetch: Fetch, fault: Fault
    ) -> None:
        self._record = record
        self._report = report
        self._at_cxone = at_cxone
        self._fetch = fetch
        self._fault = fault
        self._taken: Counter[str] = Counter()
        self._order = asyncio.Lock()
        self._ready = asyncio.Event()
        self._salt = ""

    @property
    def is_ready(self) -> bool:
        """True if messages are taken from the box."""
        return self._ready.is_set()

    def open(self) -> None:
        """Take messages from the box: the chat is new."""
        self._ready.set()

    def open_without_recovery(self) -> None:
        """Take messages from the box though those of the last run are not known. None may get an id of theirs."""
        self._salt = datetime.now(UTC).isoformat()
        self._ready.set()

    async def recover(self) -> None:
        """Report all messages that the contact has, the known ones again; then take messages from the box.

        Raises `HttpError`.
        """
        for message in outbound(await self._at_cxone()):
            content = _content(message)
            self._taken[content] += 1
            await self._pass_on(message, self._id(content, self._taken[content]), created_at(message))
        self._ready.set()

    async def take(self, message: Json) -> BoxMessage:
        """Take a message from the box; return it once the bot will get it."""
        await self._ready.wait()
        at = datetime.now(UTC)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._order:
            content = _content(message)
            if not (self._taken[content] and await self._is_repeated(content)):
                self._taken[content] += 1
            message_id = self._id(content, self._taken[content])
            author = human_agent(message.get("authorUser"))
            if author is not None:
                self._report(AgentJoined(author))
            await self._pass_on(message, message_id, at, stored)
        await stored
        return BoxMessage(message_id, at)

    async def _is_repeated(self, content: str) -> bool:
        """True if CXone has no more messages with this content than were taken. If it cannot be asked, False."""
        try:
            found = sum(_content(message) == content for message in outbound(await self._at_cxone()))
        except HttpError as error:
            self._fault("repeat_unknown", f"a message may be doubled: {error}")
            return False
        return found <= self._taken[content]

    def _id(self, content: str, number: int) -> str:
        return self._record.derived_id(f"agent {content} {number}{self._salt}")

    async def _pass_on(
        self, message: Json, message_id: str, at: datetime, stored: asyncio.Future[None] | None = None
    ) -> None:
        text = message_text(object_of(message.get("messageContent")))
        links, files = await self._files(attachments_of(message))
        agent = human_agent(message.get("authorUser"))
        self._report(AgentMessage(message_id, text, at, links, agent, stored, files))

    async def _files(
        self, attachments: Sequence[Attachment]
    ) -> tuple[tuple[Attachment, ...], tuple[AttachmentFile, ...]]:
        """Fetch attachments, whose links expire; return those that keep CXone's link, and the files."""
        fetched = await asyncio.gather(*(self._file(each) for each in attachments[:MAX_FILES]))
        links = [each for each, file in zip(attachments, fetched, strict=False) if file is None]
        return (*links, *attachments[MAX_FILES:]), tuple(file for file in fetched if file is not None)

    async def _file(self, attachment: Attachment) -> AttachmentFile | None:
        try:
            found = await self._fetch(attachment)
        except AttachmentError as error:
            self._fault(error.reason, f"an attachment of the human agent was not fetched: {error}")
            return None
        return AttachmentFile.new(attachment.name, (attachment.media_type or found.media_type)[:256], found.content)


def outbound(messages: Sequence[Json]) -> list[Json]:
    """Return the messages to the customer."""
    return [message for message in messages if text_of(message.get("direction")) == "outbound"]


def _content(message: Json) -> str:
    """Return a digest of what the customer sees of a message. The links of attachments differ in each response."""
    text = message_text(object_of(message.get("messageContent")))
    return digest_of([text, *(attachment.name for attachment in attachments_of(message))])
