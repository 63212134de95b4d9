"""The human agent's messages over a bring-your-own channel: from calls to the box, and from CXone after a restart."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
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
_ID = re.compile(r"(.+)\.([0-9a-f]{24})\.([0-9]{1,12})")

Fetch = Callable[[Attachment], Awaitable[AttachmentContent]]
MessagesAtCxone = Callable[[], Awaitable[Sequence[Json]]]
Fault = Callable[[str, str], None]


class AgentMessages:
    """The messages of one chat, each with an id that is the same in a repeated call and after a restart.

    A call to the box has no id of the message, and CXone may repeat it. So the id is derived from the content, and from
    a number, which differs among messages with the same content. If a content comes again, CXone is asked for the
    messages of the contact: if all of them were taken, the call was repeated.
    """

    def __init__(
        self, record: ChatRecord, report: Report, at_cxone: MessagesAtCxone, fetch: Fetch, fault: Fault
    ) -> None:
        self._record = record
        self._report = report
        self._at_cxone = at_cxone
        self._fetch = fetch
        self._fault = fault
        self._taken: defaultdict[str, set[int]] = defaultdict(set)  # numbers by content
        self._last = 0  # number of the last run
        self._order = asyncio.Lock()
        self._ready = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """True if messages are taken from the box."""
        return self._ready.is_set()

    def open(self) -> None:
        """Take messages from the box: the chat is new."""
        self._ready.set()

    def open_without_recovery(self) -> None:
        """Take messages from the box though those of the last run are not known. None may get an id of theirs."""
        self._last = round(time.time())
        self._ready.set()

    async def recover(self) -> None:
        """Report all messages that the contact has, the known ones again; then take messages from the box.

        Raises `HttpError`.
        """
        await self._catch_up()
        self._ready.set()

    async def take(self, message: Json) -> BoxMessage:
        """Take a message from the box; return it once the bot will get it."""
        await self._ready.wait()
        at = datetime.now(UTC)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._order:
            content = _content(message)
            number = await self._known_number(content) if self._taken[content] else None
            if number is None:
                number = max(self._taken[content], default=self._last) + 1
                self._taken[content].add(number)
            message_id = self._id(content, number)
            author = human_agent(message.get("authorUser"))
            if author is not None:
                self._report(AgentJoined(author))
            await self._pass_on(message, message_id, at, stored)
        await stored
        return BoxMessage(message_id, at)

    async def _known_number(self, content: str) -> int | None:
        """Return the number of a message whose content came before; None if CXone cannot be asked.

        What CXone has and was not taken is reported up to that message, in CXone's order: after a restart its calls may
        be behind. If nothing with this content is left, the call was repeated.
        """
        try:
            return await self._catch_up(content) or max(self._taken[content])
        except HttpError as error:
            self._fault("repeat_unknown", f"a message may be doubled: {error}")
            return None

    async def _catch_up(self, until: str | None = None) -> int | None:
        """Report what was not taken, up to a message with that content; return its number. Raises `HttpError`.

        If no such message is left, return the number of one for which CXone has no id of ours yet.
        """
        waiting = None
        for message, content, number, has_id in self._numbered(await self._at_cxone()):
            if number not in self._taken[content]:
                self._taken[content].add(number)
                await self._pass_on(message, self._id(content, number), created_at(message))
                if content == until:
                    return number
            elif content == until and not has_id and waiting is None:
                waiting = number
        return waiting

    def _numbered(self, messages: Sequence[Json]) -> list[tuple[Json, str, int, bool]]:
        """Return the messages to the customer with their contents and numbers, and True if CXone has an id of ours.

        CXone keeps the ids that the box gave. Messages without one get the numbers that are left.
        """
        ours = [(message, self._ours(message)) for message in messages if _is_outbound(message)]
        used = {known for _, known in ours if known is not None}
        numbered = []
        for message, known in ours:
            content, number = known or (_content(message), 1)
            while known is None and (content, number) in used:
                number += 1
            used.add((content, number))
            numbered.append((message, content, number, known is not None))
        return numbered

    def _ours(self, message: Json) -> tuple[str, int] | None:
        """Return the content and the number of a message that has an id of ours."""
        found = _ID.fullmatch(text_of(message.get("idOnExternalPlatform")).lower())
        return (found[2], int(found[3])) if found and found[1] == self._record.uid else None

    def _id(self, content: str, number: int) -> str:
        return f"{self._record.uid}.{content}.{number}"

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


def _is_outbound(message: Json) -> bool:
    return text_of(message.get("direction")) == "outbound"


def _content(message: Json) -> str:
    """Return a digest of what the customer sees of a message. The links of attachments differ in each response."""
    text = message_text(object_of(message.get("messageContent")))
    return digest_of([text, *(attachment.name for attachment in attachments_of(message))])
