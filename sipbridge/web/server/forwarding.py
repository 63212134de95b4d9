"""Requests about a call that another node carries: sent on to that node once, with the key of the requester.

A request that another node has sent on is never sent on again, whatever the nodes believe about the owner. The owner
checks the key as for any other request, so a forged header gains nothing: its request is not sent on, that is all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from sipbridge.errors import HttpError, StoreError
from sipbridge.http import HttpClient
from sipbridge.http.node_headers import FORWARDED
from sipbridge.web.server.auth import KEY_HEADER
from sipbridge.web.server.errors import OwnerUnavailable

FORWARD_SECONDS = 2.0
MAX_RESPONSE_BYTES = 16_000_000  # a call with its whole transcript
_PASSED_ON = (KEY_HEADER, "Content-Type")
_KEPT = (b"content-type", b"retry-after")


class Forwarder:
    """The way to other nodes. `find_owner` returns the URL of the one that carries a call; None if none does."""

    def __init__(self, http: HttpClient, find_owner: Callable[[str], Awaitable[str | None]]) -> None:
        self._http = http
        self._find_owner = find_owner

    async def forward(self, request: web.Request, call_id: str) -> web.Response | None:
        """Return the owner's response to a request whose body has been read; None if it is for this node.

        Raises `OwnerUnavailable` if the owner does not respond.
        """
        if FORWARDED in request.headers:
            return None
        try:
            url = await self._find_owner(call_id)
        except StoreError:
            return None  # this node may know the call from its backlog
        if url is None:
            return None
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            response = await self._http.request(
                "GET" if request.method == "HEAD" else request.method,  # type: ignore[arg-type]  # those of operations
                f"{url}{request.path_qs}",
                headers={**headers, FORWARDED: "1"},
                body=await request.read(),
                seconds=FORWARD_SECONDS,
                max_bytes=MAX_RESPONSE_BYTES,
            )
        except HttpError:
            raise OwnerUnavailable("the bridge that carries this call does not respond; try again") from None
        kept = {name.decode(): response.headers[name] for name in _KEPT if name in response.headers}
        return web.Response(status=response.status, body=response.body, headers=kept)
