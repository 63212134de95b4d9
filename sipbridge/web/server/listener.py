"""Starts an application on an address."""

from __future__ import annotations

import asyncio

from aiohttp import web

from sipbridge.config import authority
from sipbridge.connection_errors import explain_listen_error
from sipbridge.errors import StartupError
from sipbridge.web.server.connections import Connections
from sipbridge.web.server.slots import SLOTS

STOP_SECONDS = 5.0  # the time that requests in progress have to finish when the service stops


class Listener:
    """A running HTTP server. Call `cleanup` at the end."""

    def __init__(self, runner: web.AppRunner, connections: Connections, server: asyncio.Server) -> None:
        self._runner = runner
        self._connections = connections
        self._server = server

    async def cleanup(self) -> None:
        """Accept no more connections, let requests in progress finish, close the rest."""
        self._server.close()
        self._connections.close()
        await self._runner.cleanup()


async def start_web(
    app: web.Application, host: str, port: int, key: str = "http.listen"
) -> tuple[Listener, tuple[str, int]]:
    """Listen on an address; port 0 takes a free one. Return the listener and the address in use.

    Raises `StartupError`, which names the configuration `key`, if it cannot listen there.
    """
    # A handler is cancelled when its connection closes, so that an event stream ends with its reader.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    assert runner.server is not None  # noqa: S101 (for mypy: setup creates it)
    connections = Connections(runner.server, lambda: app[SLOTS].streams)
    try:
        server = await asyncio.get_running_loop().create_server(connections, host, port, backlog=128)
    except OSError as error:
        connections.close()
        await runner.cleanup()
        raise StartupError(
            f"{key}: cannot listen on {authority(host, port)}: {explain_listen_error(error.errno) or error.strerror}"
        ) from error
    in_use = server.sockets[0].getsockname()
    return Listener(runner, connections, server), (in_use[0], in_use[1])
