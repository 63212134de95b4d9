"""The parts of a channel that its sessions share."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from urllib.parse import urlencode

from sipbridge.chats.attachments import AttachmentContent
from sipbridge.chats.model import Attachment
from sipbridge.cxone.digital.dfo.connection import Connection, GatewayLost, Opener
from sipbridge.cxone.digital.dfo.frames import SDK_PLATFORM, SDK_VERSION, Person
from sipbridge.cxone.digital.dfo.rest import ChannelInfo, GatewayRest, SessionToken
from sipbridge.errors import AttachmentError, ChannelRefused, HttpError

FetchAttachment = Callable[[Attachment], Awaitable[AttachmentContent]]


class GatewayParts:
    """The parts of a channel that a session uses.

    `fetch` gets the content of a bot's attachment, `fault` a short word and a text; `background` runs a coroutine.
    `recoveries` limits the chats that connect and recover their threads at once.
    """

    def __init__(
        self,
        brand_id: int,
        channel_id: str,
        rest: GatewayRest,
        opener: Opener,
        fetch: FetchAttachment,
        fault: Callable[[str, str], None],
        background: Callable[[Coroutine[object, object, None]], object],
        recoveries: asyncio.Semaphore,
    ) -> None:
        self.brand_id = brand_id
        self.channel_id = channel_id
        self.fault = fault
        self.background = background
        self.recoveries = recoveries
        self.may_send = opener.may_send
        self.availability = rest.availability
        self.message_path = rest.message_path
        self.fetch_event = rest.event
        self.fetch_message = rest.message
        self._rest = rest
        self._opener = opener
        self._fetch = fetch

    async def info(self) -> ChannelInfo:
        """Return the channel's settings, or the usual ones if they are not known: no check stops a start."""
        try:
            return await self._rest.info()
        except HttpError as error:
            self.fault("no_channel_info", f"the settings of the channel are not known: {error}")
            return ChannelInfo()

    async def session_token(self, person: Person) -> SessionToken:
        """Get a token of a secured session. Raises `GatewayLost` or `ChannelRefused`."""
        try:
            return await self._rest.session_token(person)
        except HttpError as error:
            raise GatewayLost(str(error)) from None

    async def open(self, person: Person, token: SessionToken | None, connection: Connection) -> None:
        """Open the socket. Raises `GatewayLost`."""
        query = {
            "brandId": str(self.brand_id),
            "channelId": self.channel_id,
            "visitorId": person.visitor_id,
            "sdkPlatform": SDK_PLATFORM,
            "sdkVersion": SDK_VERSION,
            "v": SDK_VERSION,
        }
        query |= {"customerId": person.customer_id} if token is None else {"transactionToken": token.value}
        await self._opener.open(urlencode(query), connection)

    async def upload(self, attachments: Sequence[Attachment]) -> list[Attachment]:
        """Hand the attachments of a message over to CXone. Raises `AttachmentError`."""
        return [await self._upload(each) for each in attachments]

    async def _upload(self, attachment: Attachment) -> Attachment:
        try:
            info = await self.info()
        except ChannelRefused:
            raise AttachmentError("attachment_unavailable", "the channel does not exist any more") from None
        if not info.attachments:
            raise AttachmentError("attachment_forbidden", "the channel takes no attachments")
        fetched = await self._fetch(attachment)
        if info.max_file_bytes is not None and len(fetched.content) > info.max_file_bytes:
            raise AttachmentError("attachment_too_large", "the file is larger than the channel allows")
        if info.file_types and not any(fnmatch.fnmatch(fetched.media_type, pattern) for pattern in info.file_types):
            raise AttachmentError("attachment_forbidden", "the channel does not take this type of file")
        try:
            return await self._rest.upload(fetched.content, attachment.name or "file", fetched.media_type)
        except HttpError as error:
            raise AttachmentError("attachment_unavailable", str(error)) from None
