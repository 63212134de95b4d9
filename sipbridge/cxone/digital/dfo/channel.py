"""A channel of the chat gateway."""

from __future__ import annotations

from collections.abc import Callable

from sipbridge.aio import BackgroundTasks
from sipbridge.chats.events import ChannelFault, ChatTelemetry
from sipbridge.chats.model import MAX_TEXT_CHARACTERS, ChatRecord
from sipbridge.chats.ports import Availability, Report
from sipbridge.config import DfoChannelConfig
from sipbridge.cxone.digital.dfo.connection import Opener
from sipbridge.cxone.digital.dfo.parts import FetchAttachment, GatewayParts
from sipbridge.cxone.digital.dfo.rest import GatewayRest
from sipbridge.cxone.digital.dfo.session import DfoSession
from sipbridge.cxone.digital.recoveries import limit_recoveries
from sipbridge.dns import Resolver
from sipbridge.http import HttpClient


class DfoChannel:
    """Implements `chats.ports.DigitalChannel`. `guarded` connects to public addresses only.

    `may_send` is asked right before each frame; the HTTP clients ask it on their own.
    """

    max_characters = MAX_TEXT_CHARACTERS
    links_are_text = False

    def __init__(
        self,
        config: DfoChannelConfig,
        http: HttpClient,
        guarded: HttpClient,
        resolver: Resolver,
        fetch: FetchAttachment,
        observe: Callable[[ChatTelemetry], None],
        background: BackgroundTasks,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        self._config = config
        self._rest = GatewayRest(config, http, guarded)
        self._opener = Opener(config.gateway, resolver, may_send)
        self._fetch = fetch
        self._observe = observe
        self._background = background
        self._recoveries = limit_recoveries()

    async def availability(self) -> Availability:
        """Ask for human agents. Never raises."""
        return await self._rest.availability()

    def session(
        self,
        record: ChatRecord,
        *,
        resumed: bool,
        report: Report,
        is_new: Callable[[str], bool],
    ) -> DfoSession:
        """Return the session of a chat."""

        def fault(word: str, message: str) -> None:
            self._observe(ChannelFault(record.client, record.project, record.chat_id, record.channel, word, message))

        parts = GatewayParts(
            self._config.brand_id,
            self._config.channel_id,
            self._rest,
            self._opener,
            self._fetch,
            fault,
            self._background.start,
            self._recoveries,
        )
        return DfoSession(parts, record, resumed=resumed, report=report, is_new=is_new)
