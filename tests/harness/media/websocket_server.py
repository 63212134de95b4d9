"""A WebSocket server on a free loopback port, for agents that a test or a benchmark plays."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from picows import WSListener, WSUpgradeRequest, ws_create_server


class WebsocketServer:
    """Accepts connections, each with a listener of its own; over TLS with a context."""

    def __init__(
        self, make_listener: Callable[[WSUpgradeRequest], WSListener], tls: ssl.SSLContext | None = None
    ) -> None:
        self._make_listener = make_listener
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    async def serve(self, on_ready: Callable[[str], None]) -> None:
        """Accept connections until `stop`; `on_ready` gets the URL."""
        self._loop = asyncio.get_running_loop()
        server = await ws_create_server(self._make_listener, "127.0.0.1", 0, ssl=self._tls)
        try:
            scheme = "ws" if self._tls is None else "wss"
            on_ready(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await self._stop.wait()
        finally:
            server.close()

    def stop(self) -> None:
        """Make `serve` return. May be called from any thread and from a signal handler."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._stop.set)
