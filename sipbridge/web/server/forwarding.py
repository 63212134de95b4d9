"""Requests about what other nodes carry: sent on to them once, with the key of the requester.

A request that is sent on has a header with the epoch of the node that is asked, signed by the one that asks. A request
with this header is never sent on again, whatever the nodes believe about the owner, so none goes in circles. If another
program has made it, the request is refused, although it would gain nothing: the owner checks the key of each request.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from sipbridge.aio import independent_task, wait_any
from sipbridge.errors import BadRequest, HttpError, StoreError
from sipbridge.http import HttpClient, Response
from sipbridge.http.node_headers import FORWARDED
from sipbridge.web.nodes import Nodes, OtherNode
from sipbridge.web.server.auth import KEY_HEADER
from sipbridge.web.server.errors import OwnerUnavailable

FORWARD_SECONDS = 2.0  # for a response of another node, which waits for its store at most
MAX_RESPONSE_BYTES = 16_000_000  # a call with its whole transcript
_PASSED_ON = (KEY_HEADER, "Authorization", "Content-Type")
_KEPT = (b"content-type", b"retry-after")
_FORGED = f"{FORWARDED} is for requests between the bridges; remove it"
_GONE = "the bridge that carries this does not respond; try again, or see its record"


class Forwarder:
    """The way to the other nodes."""

    def __init__(self, http: HttpClient, nodes: Nodes) -> None:
        self.nodes = nodes
        self._http = http

    def was_forwarded(self, request: web.Request) -> bool:
        """True if another node has sent the request on to this one.

        Raises `BadRequest` if another program claims that, and `OwnerUnavailable` if it is for an earlier run.
        """
        hop = request.headers.get(FORWARDED)
        if hop is None:
            return False
        epoch = hop.partition(" ")[0]
        # Bytes that are not UTF-8 could not be encoded again.
        if not hop.isascii() or not hmac.compare_digest(hop, self._hop(epoch, request.method, request.path_qs)):
            raise BadRequest(_FORGED)
        if epoch != self.nodes.epoch:
            raise OwnerUnavailable(_GONE)
        return True

    async def forward(self, request: web.Request, finding: Awaitable[OtherNode | None]) -> web.Response | None:
        """Return the owner's response to a request whose body has been read; None if no other node is the owner.

        Raises `OwnerUnavailable` if the owner does not respond.
        """
        try:
            owner = await finding
        except StoreError:
            return None  # this node may know the call from its backlog
        if owner is None:
            return None
        return passed_back(await self._send_on(request, owner, FORWARD_SECONDS))

    async def ask_others(
        self,
        request: web.Request,
        *,
        seconds: float = FORWARD_SECONDS,
        is_last: Callable[[Response], bool] = lambda _: False,
    ) -> list[Response | None]:
        """Send a request on to all other nodes at once; return their responses, None of each that has none.

        A node has none if it does not respond within `seconds`, or loses its lease meanwhile. The others are not waited
        for after a response that `is_last`: it is the only one then.
        """
        asking = [independent_task(self._ask(request, node, seconds)) for node in self.nodes.others()]
        try:
            for earliest in asyncio.as_completed(asking):
                response = await earliest
                if response is not None and is_last(response):
                    return [response]
            return [each.result() for each in asking]
        finally:
            for each in asking:
                each.cancel()

    async def _ask(self, request: web.Request, node: OtherNode, seconds: float) -> Response | None:
        sending = independent_task(self._send_on(request, node, seconds))
        try:
            while not sending.done():
                await wait_any(sending, timeout=FORWARD_SECONDS)
                if not sending.done() and not self._has_lease(node):
                    return None
            return sending.result()
        except OwnerUnavailable:
            return None
        finally:
            sending.cancel()

    def _has_lease(self, node: OtherNode) -> bool:
        return any(each.has_lease for each in self.nodes.others() if each.epoch == node.epoch)

    async def _send_on(self, request: web.Request, node: OtherNode, seconds: float) -> Response:
        if not node.has_lease:
            raise OwnerUnavailable(_GONE)
        self.nodes.count_forward()
        method = "GET" if request.method == "HEAD" else request.method
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        headers[FORWARDED] = self._hop(node.epoch, method, request.path_qs)
        try:
            return await self._http.request(
                method,  # type: ignore[arg-type]  # those of operations
                f"{node.url}{request.path_qs}",
                headers=headers,
                body=await request.read(),
                seconds=seconds,
                max_bytes=MAX_RESPONSE_BYTES,
            )
        except HttpError:
            raise OwnerUnavailable(_GONE) from None

    def _hop(self, epoch: str, method: str, path: str) -> str:
        return f"{epoch} {self.nodes.sign('forward', epoch, method, path)}"


def passed_back(response: Response) -> web.Response:
    """Return the response of another node as that of this one."""
    kept = {name.decode(): response.headers[name] for name in _KEPT if name in response.headers}
    return web.Response(status=response.status, body=response.body, headers=kept)
