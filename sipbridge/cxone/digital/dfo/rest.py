"""The REST API and the token service of the chat gateway.

Sources: the endpoints `/chat/1.0/brand/…` and `/oauth/token`, as NICE's public chat SDKs use them.
"""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import orjson

from sipbridge.aio import independent_task
from sipbridge.chats.model import Attachment
from sipbridge.chats.ports import Availability
from sipbridge.config import DfoChannelConfig
from sipbridge.cxone.digital.dfo.frames import SDK_PLATFORM, SDK_VERSION, Person
from sipbridge.cxone.digital.values import Json, list_of, object_of, seconds_of, text_of
from sipbridge.errors import AttachmentError, ChannelRefused, HttpError, HttpForbidden
from sipbridge.http import HttpClient, Response, check_encrypted, target_of

REQUEST_SECONDS = 10.0
TOKEN_SECONDS = 30.0  # as NICE's web SDK
INFO_MAX_AGE_SECONDS = 300.0
MAX_EVENT_BYTES = 5 * 1024 * 1024
_MAX_MEGABYTES = 1_000_000  # a larger limit is none
_FETCHES_AT_ONCE = 16  # of a channel, in memory with that many bytes each

_NO_SUCH_CHANNEL = (400, 404)


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """The settings of a channel that matter to a chat. `file_types` are patterns like `image/*`; empty allows all.

    `livechat` and `secured` are None if the settings are not known.
    """

    livechat: bool | None = None
    secured: bool | None = None
    max_file_bytes: int | None = None
    file_types: tuple[str, ...] = ()
    attachments: bool = True


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A token of a secured session, and its life in seconds."""

    value: str
    seconds: float


class GatewayRest:
    """The REST API of one channel. Its settings are cached for five minutes.

    `guarded` connects to public addresses only.
    """

    def __init__(
        self,
        config: DfoChannelConfig,
        http: HttpClient,
        guarded: HttpClient,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._http = http
        self._guarded = guarded
        self._fetches = asyncio.Semaphore(_FETCHES_AT_ONCE)
        self._clock = clock
        self._base = f"{config.rest}/chat/1.0/brand/{config.brand_id}"
        self._channel = f"{self._base}/channel/{config.channel_id}"
        self._info: tuple[ChannelInfo, float] | None = None
        self._asking: asyncio.Task[ChannelInfo] | None = None

    async def info(self) -> ChannelInfo:
        """Return the settings. Raises `ChannelRefused` if there is no such channel, and `HttpError`."""
        if self._info is not None and self._clock() < self._info[1]:
            return self._info[0]
        if self._asking is None or self._asking.done():
            self._asking = independent_task(self._ask())
        # One request for all: if they asked one after the other, the last of many would wait for every timeout.
        return await asyncio.shield(self._asking)

    async def _ask(self) -> ChannelInfo:
        response = await self._get(f"{self._channel}?locale=en_US")
        if response.status in _NO_SUCH_CHANNEL:
            raise ChannelRefused("unknown_channel")
        info = self._read_info(_json_of(response, "the chat channel"))
        self._info = (info, self._clock() + INFO_MAX_AGE_SECONDS)
        return info

    def _read_info(self, body: Json) -> ChannelInfo:
        settings = object_of(body.get("settings"))
        files = object_of(settings.get("fileRestrictions"))
        megabytes = files.get("allowedFileSize")
        limit = megabytes if isinstance(megabytes, int | float) and 0 <= megabytes <= _MAX_MEGABYTES else None
        livechat = body.get("isLiveChat") is True if self._config.livechat is None else self._config.livechat
        return ChannelInfo(
            livechat=livechat,
            secured=object_of(settings.get("features")).get("securedSessions") is True,
            max_file_bytes=None if limit is None else round(limit * 1024 * 1024),
            file_types=tuple(text_of(each.get("mimeType")) for each in list_of(files.get("allowedFileTypes"))),
            attachments=files.get("isAttachmentsEnabled") is not False,
        )

    async def availability(self) -> Availability:
        """Ask if human agents are there. Never raises."""
        try:
            response = await self._get(f"{self._channel}/availability")
            status = text_of(_json_of(response, "the chat channel").get("status")).lower()
        except HttpError as error:
            return Availability("unknown", reason=str(error))
        if status == "online":
            return Availability("online")
        if status == "offline":
            return Availability("offline", reason="the channel is offline")
        return Availability("unknown", reason="CXone gave no status that is known")

    async def session_token(self, person: Person) -> SessionToken:
        """Get a token for an anonymous customer. Raises `HttpError` or `ChannelRefused`."""
        query = urlencode(
            {
                "brandId": self._config.brand_id,
                "channelId": self._config.channel_id,
                "visitorId": person.visitor_id,
            }
        )
        body = orjson.dumps({"customerIdentity": {"idOnExternalPlatform": person.customer_id}})
        response = await self._http.request(
            "POST",
            f"{self._config.oauth}/oauth/token?{query}",
            headers=_headers(),
            body=body,
            seconds=TOKEN_SECONDS,
        )
        if response.status in (401, 403):
            raise ChannelRefused("not_authorized")
        token = _json_of(response, "the token service of the chat gateway")
        value, seconds = text_of(token.get("accessToken")), seconds_of(token.get("expiresIn"))
        if not value:
            raise HttpError("the token service of the chat gateway gave no token")
        return SessionToken(value, seconds or 0.0)

    async def upload(self, content: bytes, name: str, media_type: str) -> Attachment:
        """Upload a file; return it as the gateway wants it named. Raises `AttachmentError` or `HttpError`."""
        body = orjson.dumps({"content": base64.b64encode(content).decode(), "fileName": name, "mimeType": media_type})
        response = await self._http.request(
            "POST", f"{self._channel}/attachment", headers=_headers(), body=body, seconds=REQUEST_SECONDS * 3
        )
        if 400 <= response.status < 500:  # noqa: PLR2004 (a refusal)
            raise AttachmentError("attachment_refused", f"CXone refused an attachment with {response.status}")
        url = text_of(_json_of(response, "the upload of an attachment").get("fileUrl"))
        if not url:
            raise HttpError("the upload of an attachment gave no URL")
        return Attachment(url=url, name=name, media_type=media_type)

    def message_path(self, message_id: str) -> str:
        """Return the path of a message's body."""
        return f"/chat/1.0/brand/{self._config.brand_id}/messages/{quote(message_id, safe='')}"

    async def message(self, path: str, token: str) -> Json:
        """Get the body of a message. Raises `HttpError`."""
        if not (token.isascii() and token.isprintable()):
            raise HttpError("the chat gateway gave a token that no header can carry")
        headers = {**_headers(), "Authorization": f"Bearer {token}"}
        url = f"{self._config.rest}{path}"
        response = await self._http.request(
            "GET", url, headers=headers, seconds=REQUEST_SECONDS, max_bytes=MAX_EVENT_BYTES
        )
        return _json_of(response, "a message")

    async def event(self, url: str) -> object:
        """Get an event that was too large for the socket. Raises `HttpError`.

        The gateway names the URL: only the host that the operator has configured may have a private address.
        """
        http = self._http if self._is_on_our_host(url) else self._guarded
        async with self._fetches:
            response = await http.request("GET", url, seconds=REQUEST_SECONDS, max_bytes=MAX_EVENT_BYTES)
        return _json_of(response, "an event")

    def _is_on_our_host(self, url: str) -> bool:
        """True if a URL is on the host of the REST API. Raises `HttpForbidden` if it is not valid or not https."""
        try:
            if target_of(url).host == target_of(self._config.rest).host:
                return True
        except ValueError as error:
            raise HttpForbidden(f"the URL is not valid: {error}") from None
        check_encrypted(url)
        return False

    async def _get(self, url: str) -> Response:
        return await self._http.request("GET", url, headers=_headers(), seconds=REQUEST_SECONDS)


def _headers() -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Trace-ID": str(uuid.uuid4()),
        "x-sdk-platform": SDK_PLATFORM,
        "x-sdk-version": SDK_VERSION,
    }


def _json_of(response: Response, what: str) -> Json:
    if not 200 <= response.status < 300:  # noqa: PLR2004 (a success)
        raise HttpError(f"{what}: CXone responded with {response.status}")
    return response.json_object(what)
