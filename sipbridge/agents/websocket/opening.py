"""Opening a WebSocket connection to the agent."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from traceback import clear_frames
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from multidict import CIMultiDict
from picows import WSError, WSInvalidStatusError, WSParsedURL, WSUpgradeResponse, ws_connect

from sipbridge.agents.websocket.connection import MAX_MESSAGE_BYTES, READ_BUFFER_BYTES, Connection, picows_logger
from sipbridge.agents.websocket.protocol import UpgradeHeaders
from sipbridge.config import WebsocketAgentConfig, authority
from sipbridge.connection_errors import explain_connection_error
from sipbridge.dns import Resolver
from sipbridge.errors import AgentUnavailable, NameNotResolved, StartupError

Trust = Callable[[Path | None], ssl.SSLContext]


class Opener:
    """Opens connections to an agent. Raises `StartupError` for an unusable `ca_file`."""

    def __init__(
        self, config: WebsocketAgentConfig, resolver: Resolver, trust: Trust, upgrade_headers: UpgradeHeaders
    ) -> None:
        self._resolver = resolver
        parts = urlsplit(config.url)
        user, at, address = parts.netloc.rpartition("@")
        # For messages: always with its port.
        self._address = authority(parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80))
        # Without a path the request is for "/" (RFC 9112, 3.2.1), and the agent checks a signature with it.
        self._url = parts._replace(netloc=address, path=parts.path or "/").geturl()
        self._headers = CIMultiDict(config.headers)
        if at and "Authorization" not in self._headers:
            # RFC 7617. picows would put the user into Host.
            user = unquote(user if ":" in user else f"{user}:")
            self._headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        self._headers.update(upgrade_headers(self._url))
        self._seconds = config.connect_timeout_seconds
        self._ssl = trust(config.ca_file) if parts.scheme == "wss" else None

    async def open(self, headers: Mapping[str, str] = MappingProxyType({})) -> Connection:
        """Open a connection: DNS, TCP, TLS and upgrade within the configured time. Raises `AgentUnavailable`.

        `headers` are those of this call. They win over configured ones of the same name, in whatever case.
        """
        merged = self._headers.copy()
        merged.update(headers)
        connection = Connection()
        try:
            async with asyncio.timeout(self._seconds):
                _, upgraded = await ws_connect(
                    lambda *_: connection,
                    self._url,
                    ssl_context=self._ssl,
                    extra_headers=merged,
                    # Closes the socket if we time out before; picows would keep it.
                    websocket_handshake_timeout=self._seconds,
                    max_frame_size=MAX_MESSAGE_BYTES,
                    read_buffer_init_size=READ_BUFFER_BYTES,
                    enable_auto_pong=False,  # sent by the connection, within limits
                    max_redirects=0,
                    socket_factory=self._connect,
                    logger_name=picows_logger,
                )
        except (NameNotResolved, OSError, WSError, ValueError) as error:
            connection.close()
            # The frames of the library refer to its error, the error to the frames, and both to the TLS context.
            clear_frames(error.__traceback__)
            raise AgentUnavailable(f"the agent at {self._address} was not reached: {self._reason(error)}") from None
        except BaseException:
            connection.close()
            raise
        if upgraded is not connection:
            raise AgentUnavailable(f"the agent at {self._address} was not reached: it hung up before the upgrade")
        return connection

    async def _connect(self, url: WSParsedURL) -> socket.socket:
        return await self._resolver.connect(url.host, url.port)

    def _reason(self, error: Exception) -> str:
        """Return the reason in our own words: those of the library may quote what the agent sent."""
        match error:
            case TimeoutError():
                reason = f"no connection within {self._seconds:g} s"
            case NameNotResolved():
                reason = "its name was not found"
            case OSError():
                reason = explain_connection_error(error)
            case WSInvalidStatusError(response=WSUpgradeResponse() as response):
                reason = f"its response to the upgrade is {response.status.value}"
            case _:
                reason = "its response is not a WebSocket upgrade"
        return reason


def trust_authorities(ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context that trusts the authorities of a file, or of the system.

    Takes tens of milliseconds and a megabyte. Raises `StartupError`.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):
        raise StartupError(f"no certificate of an authority can be read from agent.ca_file {ca_file}") from None
