"""The human agent's messages over a bring-your-own channel: from calls to the box, and from CXone after a restart."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sipbridge.aio import independent_task, wait_any
from sipbridge.chats.attachments import AttachmentContent
from sipbridge.chats.happenings import AgentMessage
from sipbridge.chats.model import Attachment, AttachmentFile, ChatRecord, digest_of
from sipbridge.chats.ports import BoxMessage, Report
from sipbridge.cxone.digital.content import attachments_of, created_at, human_agent, message_text
from sipbridge.cxone.digital.values import Json, object_of, text_of
from sipbridge.errors import AttachmentError, HttpError, HttpWithheld

LAG_SECONDS = (0.0, 1.0)  # before each look at the list of CXone for the message of a call
MAX_FILES = 10  # of one message; the others keep CXone's link
_ID = re.compile(r"(.+)\.([0-9a-f]{24})\.([0-9]{1,12})")

Fetch = Callable[[Attachment], Awaitable[AttachmentContent]]
MessagesAtCxone = Callable[[], Awaitable[Sequence[Json]]]
Fault = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class _Listed:
    """A message that CXone lists."""

    message: Json
    content: str
    number: int


class AgentMessages:
    """The messages of one chat, each with an id that is the same in a repeated call and after a restart.

    A call to the box has no id of the message, and CXone may repeat it. So the id is derived from the content, and from
    a number, which differs among messages with the same content. If a content comes again, CXone is asked for
    the messages of the contact, of which none gets a number more than there are. So a message that CXone does not list
    yet may be late, and none is doubled. `is_new` is false for the ids that the bot has.
    """

    def __init__(
        self,
        record: ChatRecord,
        report: Report,
        is_new: Callable[[str], bool],
        at_cxone: MessagesAtCxone,
        fetch: Fetch,
        fault: Fault,
    ) -> None:
        self._record = record
        self._report = report
        self._is_new = is_new
        self._at_cxone = at_cxone
        self._fetch = fetch
        self._fault = fault
        self._taken: defaultdict[str, set[int]] = defaultdict(set)  # numbers by content
        self._not_called_for: set[tuple[str, int]] = set()  # at the last look, by content and number
        self._seen: defaultdict[str, set[int]] = defaultdict(set)  # of them: those of which CXone knows our id
        self._last = 0  # number of the last run
        self._order = asyncio.Lock()
        self._ready = asyncio.Event()
        self._taking: set[asyncio.Task[BoxMessage]] = set()

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
        """Report the messages that the bot does not have; then take messages from the box. Raises `HttpError`."""
        async with self._order:
            for listed in await self._list():
                await self._take_listed(listed)
        self._ready.set()

    async def catch_up(self) -> None:
        """Report the messages whose calls did not come, or not yet, before the end is reported. Raises `HttpError`.

        If CXone lists nothing that it called for, its list has another form than its calls, and would double all.
        """
        found = await self._list()
        async with self._order:
            if any(self._taken.values()) and not any(each.number in self._taken[each.content] for each in found):
                return
            for listed in found:
                if listed.number not in self._taken[listed.content]:
                    await self._take_listed(listed)

    async def look_for_lost_calls(self) -> int:
        """Report the messages that were not called for at the last look either; return how many the contact has.

        Only if CXone lists each message that it called for: otherwise its list is behind, or has another form than its
        calls, and would double some. Raises `HttpError`.
        """
        found = await self._list()
        async with self._order:
            listed = {(each.content, each.number) for each in found}
            taken = {(content, number) for content, numbers in self._taken.items() for number in numbers}
            not_called_for = listed - taken if taken <= listed else set()
            lost = not_called_for & self._not_called_for
            for each in found:
                if (each.content, each.number) in lost:
                    await self._take_listed(each)
            self._not_called_for = not_called_for - lost
            return len(found)

    def close(self) -> None:
        """Take nothing more: the chat is over."""
        for task in self._taking:
            task.cancel()

    async def take(self, message: Json) -> BoxMessage:
        """Take a message from the box; return it once the bot will get it.

        It is taken even if CXone waits no longer, since CXone may not repeat the call. Raises `TimeoutError` if the
        chat ends first, and `HttpWithheld` if another node may have the chat.
        """
        task = independent_task(self._take(message))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)
        await wait_any(task)
        if task.cancelled():
            raise TimeoutError
        return task.result()

    async def _take(self, message: Json) -> BoxMessage:
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
            await self._pass_on(message, message_id, at, stored)
        await stored
        return BoxMessage(message_id, at)

    async def _known_number(self, content: str) -> int | None:
        """Return the number of the message that a call with a known content is for; None if CXone cannot be asked.

        What CXone has and was not taken is reported up to that message, in CXone's order: after a restart its calls may
        be behind. If none with this content is left, the call was repeated, or is a late one that CXone has given up.
        Raises `HttpWithheld`.
        """
        try:
            for pause in LAG_SECONDS:
                # If CXone has seen our responses to all of them, its list may be behind its calls.
                await asyncio.sleep(pause)
                for listed in await self._list():
                    if listed.number not in self._taken[listed.content]:
                        await self._take_listed(listed)
                        if listed.content == content:
                            return listed.number
                if unseen := self._taken[content] - self._seen[content]:
                    return min(unseen)
        except HttpWithheld:
            raise  # the node that has the chat can ask, and CXone repeats the call there
        except HttpError as error:
            self._fault("repeat_unknown", f"a message may be doubled: {error}")
            return None
        return max(self._taken[content])

    async def _take_listed(self, listed: _Listed) -> None:
        self._taken[listed.content].add(listed.number)
        await self._pass_on(listed.message, self._id(listed.content, listed.number), created_at(listed.message))

    async def _list(self) -> list[_Listed]:
        """Return the messages to the customer that CXone has, oldest first. Raises `HttpError`.

        CXone keeps the ids that the box gave. Messages without one of their own get the numbers that are left: also the
        second with the same id, which a call had that was taken for a repeated one.
        """
        messages = [each for each in await self._at_cxone() if _is_outbound(each)]
        ids = [self._ours(each) for each in messages]
        given = {found for found in ids if found is not None}  # not left
        used: set[tuple[str, int]] = set()
        numbered = []
        for message, found in zip(messages, ids, strict=True):
            content, number = found or (_content(message), 1)
            if found is None or found in used:
                while (content, number) in given:
                    number += 1
            else:
                self._seen[content].add(number)
            given.add((content, number))
            used.add((content, number))
            numbered.append(_Listed(message, content, number))
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
        """Report a message with its files, unless the bot has it or there is nothing to show."""
        text = message_text(object_of(message.get("messageContent")))
        attachments = attachments_of(message)
        if self._is_new(message_id) and (text or attachments):
            links, files = await self._files(attachments)
            agent = human_agent(message.get("authorUser"))
            self._report(AgentMessage(message_id, text, at, links, agent, stored, files))
        elif stored is not None:
            stored.set_result(None)

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
