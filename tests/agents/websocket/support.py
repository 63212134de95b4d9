"""An agent's side of the socket, frame by frame, and a caller's call with it."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from sipbridge.agents import WebsocketAgent
from sipbridge.calls.model import Identity
from sipbridge.calls.ports.agents import Conversation, ConversationEnd
from sipbridge.config import WebsocketAgentConfig
from sipbridge.dns import Resolver
from tests.fakes import FakeAudioStream, FakeLeg, FakeLiveCall, Journal

CALL_ID = "0123456789abcdef0123456789abcdef"
FRAME = b"\xff" * 160


def identity(**headers: str) -> Identity:
    """A caller; `X_Language="de"` is a passed header."""
    passed = {name.replace("_", "-"): value for name, value in headers.items()}
    return Identity(CALL_ID, "sip-id", "acme", "billing", "123456789", "987654321", "+15550100", "+19995550001", passed)


class AgentSocket(WSListener):
    """The agent's side of one socket. `closed` is the received close code; with `closing` it closes in response."""

    def __init__(self, request: WSUpgradeRequest, *, pongs: bool) -> None:
        self.request = request
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stream_sid = ""
        self.closing = True
        self.unread: asyncio.Queue[bytes] = asyncio.Queue()
        self.pings: asyncio.Queue[bytes] = asyncio.Queue()
        self.pongs: list[bytes] = []
        self.transport: WSTransport
        self._pongs = pongs
        self._pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            self.pings.put_nowait(frame.get_payload_as_bytes())
            if self._pongs:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            self.unread.put_nowait(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.PONG:
            self.pongs.append(frame.get_payload_as_bytes())
            # Not a delayed pong for an earlier ping.
            if not self.pongs[-1] and not self._pong.done():
                self._pong.set_result(None)
        elif frame.msg_type == WSMsgType.CLOSE and self.closing:
            self.closed.set_result(frame.get_close_code().value)
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        if not self.closed.done():
            self.closed.set_result(1006)

    async def next(self, event: str) -> dict[str, Any]:
        """Return the next message. It must have this event."""
        message: dict[str, Any] = orjson.loads(await self.unread.get())
        assert message["event"] == event
        return message

    async def begin(self) -> dict[str, Any]:
        """Receive `connected` and `start`. Return the latter."""
        await self.next("connected")
        start = await self.next("start")
        self.stream_sid = start["streamSid"]
        return start

    def send_event(self, event: str, **fields: object) -> None:
        """Send a message of this stream."""
        self.send({"event": event, "streamSid": self.stream_sid, **fields})

    def send_audio(self, audio: bytes) -> None:
        """Send audio."""
        self.send_event("media", media={"payload": base64.b64encode(audio).decode()})

    def send(self, message: object) -> None:
        """Send JSON."""
        self.transport.send(WSMsgType.TEXT, orjson.dumps(message))

    async def settle(self) -> None:
        """Return once everything sent so far has been handled: the pong comes in order."""
        self._pong = asyncio.get_running_loop().create_future()
        self.transport.send_ping()
        await self._pong

    def hang_up(self, code: int | None = None) -> None:
        """Close with a code; without one, reset the TCP connection."""
        if code is None:
            self.transport.disconnect(graceful=False)
        else:
            self.transport.send_close(WSCloseCode(code))

    def hang_up_without_code(self) -> None:
        """Send a close frame without a body (RFC 6455, 5.5.1)."""
        self.transport.send(WSMsgType.CLOSE, None)


class AgentServer:
    """The agent's server. `refusing` is the HTTP status of its responses to upgrades, None to accept them."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.refusing: int | None = None
        self.pongs = True
        self.sockets: asyncio.Queue[AgentSocket] = asyncio.Queue()
        self.admitted: list[AgentSocket] = []
        self.attempts = 0
        self.port = 0
        self._tried = asyncio.Event()

    def url(self, scheme: str = "ws") -> str:
        return f"{scheme}://{self.host}:{self.port}/agent?key=secret"

    async def wait_for_attempts(self, times: int) -> None:
        """Return after this many attempts to open a socket."""
        while self.attempts < times:
            self._tried.clear()
            await self._tried.wait()

    async def accept(self) -> AgentSocket:
        """Return the next socket that is opened."""
        return await self.sockets.get()

    def admit(self, request: WSUpgradeRequest) -> AgentSocket | WSUpgradeResponseWithListener:
        self.attempts += 1
        self._tried.set()
        if self.refusing is not None:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(self.refusing), None)
        agent_socket = AgentSocket(request, pongs=self.pongs)
        self.admitted.append(agent_socket)
        self.sockets.put_nowait(agent_socket)
        return agent_socket


@asynccontextmanager
async def agent_server(context: ssl.SSLContext | None = None, *, host: str = "localhost") -> AsyncIterator[AgentServer]:
    """Listen on loopback. The kernel's buffers are small, so that a stopped reader is noticed."""
    listening = AgentServer(f"[{host}]" if ":" in host else host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    server = await ws_create_server(listening.admit, sock=listener, ssl=context, enable_auto_pong=False)
    listening.port = listener.getsockname()[1]
    try:
        yield listening
    finally:
        server.close()
        for agent_socket in listening.admitted:
            agent_socket.transport.disconnect(graceful=False)
        await server.wait_closed()


class Site:
    """A caller, the agent's server, and the conversation between them. `config` replaces that of the agent.

    If `traced`, the agent gets the trace of the call.
    """

    traced = False

    def __init__(self, server: AgentServer, **config: object) -> None:
        self._config = {"type": "websocket", "url": server.url(), **config}
        self.server = server
        self.leg = FakeLeg(Journal())
        self.call = FakeLiveCall()
        self._conversations: list[tuple[Conversation, asyncio.Task[ConversationEnd] | None]] = []

    def agent(self, **config: object) -> WebsocketAgent:
        settings = WebsocketAgentConfig.model_validate(self._config | config)
        return WebsocketAgent(settings, Resolver(time.monotonic), traced=self.traced)

    async def connect(self, **config: object) -> tuple[Conversation, AgentSocket]:
        """Connect to the agent while the caller gets ringing."""
        conversation = await self.agent(**config).connect(identity(), self.leg)
        self._conversations.append((conversation, None))
        return conversation, await self.server.accept()

    async def start_stream(self, **config: object) -> tuple[Conversation, asyncio.Task[ConversationEnd], AgentSocket]:
        """Connect to the agent and start its stream."""
        conversation, agent_socket = await self.connect(**config)
        running = asyncio.ensure_future(conversation.run(self.call))
        self._conversations.append((conversation, running))
        await agent_socket.begin()
        return conversation, running, agent_socket

    @property
    def audio(self) -> FakeAudioStream:
        """The caller's audio."""
        assert self.leg.audio is not None
        return self.leg.audio

    async def clean_up(self) -> None:
        """Release every agent, as a call does at its end."""
        for conversation, running in self._conversations:
            if running is not None:
                running.cancel()
                # Not awaited: its exception would refer to this frame, and by that to what is to be freed.
                await asyncio.wait([running])
                with suppress(asyncio.CancelledError):
                    running.exception()
            await conversation.close(None)
        self._conversations.clear()


def make_certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make an authority and its certificate for `localhost`. Return the authority's file and a server's context."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607 (words of this file; found on PATH)

    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    issue = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *issue, "-out", "server.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context
