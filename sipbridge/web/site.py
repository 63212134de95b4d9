"""The door of the HTTP server."""

from __future__ import annotations

import asyncio

from aiohttp import web

from sipbridge import descriptors


class Site(web.TCPSite):
    """Listens as `web.TCPSite` does, and closes connections at once while they would take descriptors that are kept."""

    async def start(self) -> None:
        """Listen. Raises `OSError`."""
        await web.BaseSite.start(self)
        self._server = await asyncio.get_running_loop().create_server(self._let_in, self._host, self._port)

    def _let_in(self) -> asyncio.BaseProtocol:
        serve = self._runner.server
        return _Nobody() if serve is None or descriptors.scarce() else serve()


class _Nobody(asyncio.BaseProtocol):
    """Turns a connection away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()
