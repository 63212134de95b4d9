"""DFO REST 3.0, with the CXone credentials of the client.

Sources: NICE's developer pages on the digital API, and public integrations: `POST /channels/{c}/messages` and its
siblings; the throttle of one contact, 250 requests and 17 more a minute, with `Retry-After`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, urlencode

import orjson

from sipbridge.config import ByocChannelConfig
from sipbridge.cxone.digital.content import created_at
from sipbridge.cxone.digital.values import Json, list_of, object_of, text_of
from sipbridge.cxone.tokens import Access
from sipbridge.errors import CxoneError, CxoneRefused, HttpError, HttpNotReached
from sipbridge.http import HttpClient, Response, read_lenient_json
from sipbridge.http.urls import target_of

REQUEST_SECONDS = 10.0
MAX_PAGES = 100  # of one list
PAGE_TRIES = 10
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0
_BUSY = 429
_UNAUTHORIZED = (401, 403)
_AREA_HOST = re.compile(r"api-([a-z]{2}[0-9]+)\.(.+)")


class AccessSource(Protocol):
    """The access tokens of a client."""

    async def get(self) -> Access:
        """Return a valid access. Raises `HttpError`."""

    def drop(self, refused: Access) -> None:
        """Discard an access that CXone refused."""


class DfoRest:
    """The requests of one channel.

    They raise `HttpError` without a response, `HttpNotReached` if nothing was sent, and `CxoneRefused`.
    """

    def __init__(self, config: ByocChannelConfig, http: HttpClient, tokens: AccessSource) -> None:
        self._config = config
        self._http = http
        self._tokens = tokens
        self._channel = f"/channels/{quote(config.channel_id, safe='')}"

    async def post_message(self, message: Json) -> str:
        """Post a message of the customer; return the id of its contact, empty if CXone does not say.

        It opens thread, contact and customer as far as they are missing.
        """
        response = _used(await self._send("POST", f"{self._channel}/messages", message))
        body = object_of(read_lenient_json(response.body))
        contact = object_of(body.get("consumerContact")) or object_of(body.get("contact"))
        return contact_id_of(contact) or _contact_of_message(object_of(body.get("message")))

    async def find_message(self, message_id: str) -> Json | None:
        """Return the message of ours with this id, if CXone has it."""
        found = await self._list("/messages", {"idOnExternalPlatform[]": message_id})
        return found[0] if found else None

    async def find_contact(self, customer_id: str, thread_id: str) -> Json | None:
        """Return the newest contact of a thread, if there is one."""
        query = {"channel[]": self._config.channel_id, "endUserIdOnExternalPlatform[]": customer_id}
        contacts = await self._list("/contacts", query)
        of_thread = [each for each in contacts if text_of(each.get("threadIdOnExternalPlatform")) == thread_id]
        return max(of_thread, key=lambda each: text_of(each.get("createdAt")), default=None)

    async def contact(self, contact_id: str) -> Json:
        """Return a contact."""
        response = _used(await self._send("GET", f"/contacts/{quote(contact_id, safe='')}"))
        contact = response.json_object("a contact")
        return object_of(contact.get("contact")) or contact

    async def contact_messages(self, contact_id: str) -> list[Json]:
        """Return the messages of a contact, oldest first. NICE does not document their order."""
        found = await self._list(f"/contacts/{quote(contact_id, safe='')}/messages", {})
        if found and created_at(found[0]) > created_at(found[-1]):
            found.reverse()  # those of the same second too
        return sorted(found, key=created_at)

    async def show_typing(self, thread_id: str, *, on: bool) -> None:
        """Show the human agent that the customer types."""
        path = f"{self._channel}/threads/{quote(thread_id, safe='')}/sender-actions"
        _used(await self._send("POST", path, {"action": "isTypingOn" if on else "isTypingOff"}))

    async def set_status(self, contact_id: str, status: str) -> None:
        """Set the status of a contact."""
        _used(await self._send("PUT", f"/contacts/{quote(contact_id, safe='')}/status", {"status": status}))

    async def _list(self, path: str, query: Mapping[str, str]) -> list[Json]:
        """Return the objects of all pages of a list. One that CXone does not know is empty."""
        found: list[Json] = []
        token = ""
        for _ in range(MAX_PAGES):
            parameters = urlencode({**query, **({"scrollToken": token} if token else {})})
            response = await self._get(f"{path}?{parameters}" if parameters else path)
            if response.status == 404:  # noqa: PLR2004 (not found)
                break
            body = read_lenient_json(_used(response).body)
            items = list_of(body if isinstance(body, list) else _items(object_of(body)))
            found += items
            token = text_of(object_of(body).get("scrollToken"))
            if not token or not items:
                break
        return found

    async def _get(self, path: str) -> Response:
        """Get a page of a list, once CXone is not too busy: from the first page on, a long list would never end."""
        for _ in range(PAGE_TRIES - 1):
            response = await self._send("GET", path)
            if response.status != _BUSY:
                return response
            await asyncio.sleep(min(response.retry_after or FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS))
        return await self._send("GET", path)

    async def _send(self, method: str, path: str, body: Json | None = None) -> Response:
        """Send a request; if CXone refuses the token, once more with another one: it has done nothing then."""
        access = await self._access()
        response = await self._send_with(access, method, path, body)
        if response.status not in _UNAUTHORIZED:
            return response
        self._tokens.drop(access)
        return await self._send_with(await self._access(), method, path, body)

    async def _access(self) -> Access:
        """Return a valid access. Raises `HttpNotReached`: nothing is sent without one."""
        try:
            return await self._tokens.get()
        except HttpError as error:
            raise HttpNotReached(str(error)) from error

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


def contact_id_of(found: Json) -> str:
    """Return the id of a contact, or of the contact of a message; empty if it has none."""
    if "direction" not in found:
        return text_of(found.get("id"))
    return _contact_of_message(found)


def _contact_of_message(message: Json) -> str:
    return text_of(message.get("contactNumber")) or text_of(object_of(message.get("contact")).get("id"))


def _used(response: Response) -> Response:
    """Return a response that can be used. Raises `CxoneRefused`."""
    if response.status >= 300:  # noqa: PLR2004 (the first that is no success)
        raise CxoneRefused(response.status, response.retry_after or 0.0)
    return response


def _items(body: Json) -> object:
    """Return the list of a page. NICE does not document the name that it has."""
    return next(
        (body[name] for name in ("data", "messages", "contacts", "hits") if isinstance(body.get(name), list)), []
    )


def dfo_base(api_url: str) -> str:
    """Return the base URL of DFO REST for a tenant's API. Raises `CxoneError` if its host does not name the area."""
    target = target_of(api_url)
    found = _AREA_HOST.fullmatch(target.host)
    if found is None:
        raise CxoneError("the host of the tenant's API does not name its area; set api_url of the channel")
    return f"https://api-de-{found[1]}.{found[2]}/dfo/3.0"
