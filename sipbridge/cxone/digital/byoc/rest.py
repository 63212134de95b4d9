"""DFO REST 3.0, with the CXone credentials of the client.

Sources: NICE's developer pages on the digital API, and public integrations: `POST /channels/{c}/messages` and its
siblings; the throttle of one contact, 250 requests and 17 more a minute, with `Retry-After`.
"""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import quote, urlencode

import orjson

from sipbridge.config import ByocChannelConfig
from sipbridge.cxone.digital.values import Json
from sipbridge.cxone.tokens import Access
from sipbridge.errors import CxoneError
from sipbridge.http import HttpClient, Response
from sipbridge.http.urls import target_of

REQUEST_SECONDS = 10.0
_UNAUTHORIZED = (401, 403)
_AREA_HOST = re.compile(r"api-([a-z]{2}[0-9]+)\.(.+)")


class AccessSource(Protocol):
    """The access tokens of a client."""

    async def get(self) -> Access:
        """Return a valid access. Raises `HttpError`."""

    def drop(self, refused: Access) -> None:
        """Discard an access that CXone refused."""


class DfoRest:
    """The requests of one channel. They raise `HttpError` without a response, `HttpNotReached` if nothing was sent."""

    def __init__(self, config: ByocChannelConfig, http: HttpClient, tokens: AccessSource) -> None:
        self._config = config
        self._http = http
        self._tokens = tokens
        self._channel = f"/channels/{quote(config.channel_id, safe='')}"

    async def post_message(self, message: Json) -> Response:
        """Post a message of the customer. It opens thread, contact and customer as far as they are missing."""
        return await self._send("POST", f"{self._channel}/messages", message)

    async def find_message(self, message_id: str) -> bool:
        """True if CXone has a message with this id of ours."""
        query = urlencode({"idOnExternalPlatform[]": message_id})
        response = await self._send("GET", f"/messages?{query}")
        if response.status == 404:  # noqa: PLR2004 (not found)
            return False
        if response.status != 200:  # noqa: PLR2004 (OK)
            raise CxoneError(f"CXone responded with {response.status}")
        body = response.json_object("a search for a message")
        found = body.get("data", body.get("messages", body.get("hits")))
        return bool(found)

    async def show_typing(self, thread_id: str, *, on: bool) -> None:
        """Show the human agent that the customer types."""
        path = f"{self._channel}/threads/{quote(thread_id, safe='')}/sender-actions"
        await self._send("POST", path, {"action": "isTypingOn" if on else "isTypingOff"})

    async def contact(self, contact_id: str) -> Response:
        """Get a contact."""
        return await self._send("GET", f"/contacts/{quote(contact_id, safe='')}")

    async def set_status(self, contact_id: str, status: str) -> Response:
        """Set the status of a contact."""
        return await self._send("PUT", f"/contacts/{quote(contact_id, safe='')}/status", {"status": status})

    async def _send(self, method: str, path: str, body: Json | None = None) -> Response:
        """Send a request; if CXone refuses the token, once more with another one: it has done nothing then."""
        access = await self._tokens.get()
        response = await self._send_with(access, method, path, body)
        if response.status not in _UNAUTHORIZED:
            return response
        self._tokens.drop(access)
        return await self._send_with(await self._tokens.get(), method, path, body)

    async def _send_with(self, access: Access, method: str, path: str, body: Json | None) -> Response:
        base = self._config.api_url or dfo_base(access.api_url)
        content = b"" if body is None else orjson.dumps(body)
        headers = access.headers if body is None else access.json_headers
        return await self._http.request(
            method,  # type: ignore[arg-type]  # one of the literals above
            f"{base}{path}",
            headers=headers,
            body=content,
            seconds=REQUEST_SECONDS,
            max_bytes=1024 * 1024,
        )


def dfo_base(api_url: str) -> str:
    """Return the base URL of DFO REST for a tenant's API. Raises `CxoneError` if its host does not name the area."""
    target = target_of(api_url)
    found = _AREA_HOST.fullmatch(target.host)
    if found is None:
        raise CxoneError("the host of the tenant's API does not name its area; set api_url of the channel")
    return f"https://api-de-{found[1]}.{found[2]}/dfo/3.0"
