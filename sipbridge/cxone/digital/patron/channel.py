"""A point of contact of the patron chat API."""

from __future__ import annotations

from collections.abc import Callable

from sipbridge.aio import BackgroundTasks
from sipbridge.chats.attachments import CheckAttachment
from sipbridge.chats.events import ChannelFault, ChatTelemetry
from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import Availability, Report
from sipbridge.config import PatronChannelConfig
from sipbridge.cxone.digital.patron.rest import PatronRest
from sipbridge.cxone.digital.patron.session import PatronSession
from sipbridge.http import HttpClient


class PatronChannel:
    """Implements `chats.ports.DigitalChannel`. `check` is for the attachments of the bot."""

    max_characters = 4_000
    links_are_text = True

    def __init__(
        self,
        config: PatronChannelConfig,
        http: HttpClient,
        observe: Callable[[ChatTelemetry], None],
        background: BackgroundTasks,
        check: CheckAttachment,
    ) -> None:
        self._rest = PatronRest(config, http)
        self._observe = observe
        self._background = background
        self._check = check

    async def availability(self) -> Availability:
        """Ask for human agents. Never raises."""
        return await self._rest.availability()

    def session(
        self,
        record: ChatRecord,
        *,
        resumed: bool,  # noqa: ARG002 (the record says if it was started)
        report: Report,
        is_new: Callable[[str], bool],  # noqa: ARG002 (the chat drops what the bot has)
    ) -> PatronSession:
        """Return the session of a chat."""

        def fault(word: str, message: str) -> None:
            self._observe(ChannelFault(record.client, record.project, record.chat_id, record.channel, word, message))

        return PatronSession(self._rest, record, report, fault, self._background.start, self._check)
