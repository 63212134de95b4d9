"""A WebSocket agent that a test controls: the server side of Twilio Media Streams.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. Messages are stored unparsed and read later, so
that many simultaneous calls cost little.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import orjson
import uvloop
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from tests.harness.waiting import wait_for

from .stamp import ReceivedFrame, find_stamps
from .websocket_server import WebsocketServer

FRAME_SECONDS = 0.02

Message = dict[str, Any]


class AgentCall(WSListener):
    """One connection. Any thread may call any method; times are those of `time.time_ns`."""

    def __init__(self, request: WSUpgradeRequest, on_start: Callable[[AgentCall], None]) -> None:
        self.headers = request.headers
        self.received: list[tuple[int, bytes]] = []
        self.stream_sid = ""
        self.is_closed = False
        self._on_start = on_start
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._head = b""
        self._frames: Iterator[bytes] = iter(())
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Store the connection."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Store a message and its arrival time."""
        now = time.time_ns()
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            return
        message = frame.get_payload_as_bytes()
        self.received.append((now, message))
        if not self.stream_sid and (event := orjson.loads(message))["event"] == "start":
            self.stream_sid = event["streamSid"]
            self._head = b'{"event":"media","streamSid":"%s","media":{"payload":"' % self.stream_sid.encode()
            self._on_start(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (picows says so)
        """Record the end."""
        self._transport = None
        self.is_closed = True

    def send_at_once(self, audio: bytes) -> None:
        """Send mu-law of any length, in one message."""
        self._loop.call_soon_threadsafe(self._send_audio, audio)

    def send_frames(self, frames: Iterable[bytes]) -> None:
        """Send a frame every 20 ms from now on, instead of earlier frames; each is taken when it is due."""
        self._loop.call_soon_threadsafe(self._begin_frames, iter(frames))

    def mark(self, name: str) -> None:
        """Send a mark, which comes back when the audio before it has been played."""
        self.send({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}})

    def clear(self) -> None:
        """Drop the queued audio (barge-in)."""
        self.send({"event": "clear", "streamSid": self.stream_sid})

    def hand_off(self, **handoff: object) -> None:
        """Request a handoff."""
        self.send({"event": "handoff", "streamSid": self.stream_sid, "handoff": handoff})

    def hang_up(self) -> None:
        """Close the socket, which ends the conversation."""
        self._loop.call_soon_threadsafe(self._close)

    def send(self, message: Message | bytes) -> None:
        """Send a message; bytes are sent unchanged."""
        text = message if isinstance(message, bytes) else orjson.dumps(message)
        self._loop.call_soon_threadsafe(self._send, text)

    def events(self, kind: str) -> list[tuple[int, Message]]:
        """The received messages of a kind, with their arrival times."""
        marker = f'"{kind}"'.encode()
        found = ((at_ns, orjson.loads(text)) for at_ns, text in list(self.received) if marker in text)
        return [(at_ns, message) for at_ns, message in found if message["event"] == kind]

    def wait_for(self, kind: str, count: int = 1, seconds: float = 10.0) -> list[tuple[int, Message]]:
        """Return the messages of a kind once there are this many. Raises `TimeoutError`."""

        def enough() -> list[tuple[int, Message]] | None:
            found = self.events(kind)
            return found if len(found) >= count else None

        return wait_for(enough, f"{count} messages {kind!r}", seconds)

    @property
    def audio(self) -> list[tuple[int, bytes]]:
        """The received mu-law, with the arrival time of each message."""
        return [(at_ns, base64.b64decode(message["media"]["payload"])) for at_ns, message in self.events("media")]

    def stamps(self) -> list[ReceivedFrame]:
        """The received stamped frames."""
        return list(find_stamps(self.audio))

    def digits(self) -> str:
        """The caller's DTMF digits."""
        return "".join(message["dtmf"]["digit"] for _, message in self.events("dtmf"))

    @property
    def marks(self) -> dict[str, int]:
        """The arrival time of each returned mark, by name."""
        return {message["mark"]["name"]: at_ns for at_ns, message in self.events("mark")}

    def _begin_frames(self, frames: Iterator[bytes]) -> None:
        if self._timer:
            self._timer.cancel()
        self._frames = frames
        self._due = self._loop.time()
        self._send_frame()

    def _send_frame(self) -> None:
        frame = next(self._frames, None)
        if frame is None or self._transport is None:
            return
        self._send_audio(frame)
        self._due += FRAME_SECONDS
        self._timer = self._loop.call_at(self._due, self._send_frame)

    def _send_audio(self, audio: bytes) -> None:
        self._send(self._head + binascii.b2a_base64(audio, newline=False) + b'"}}')

    def _send(self, text: bytes) -> None:
        if self._transport:
            self._transport.send(WSMsgType.TEXT, text)

    def _close(self) -> None:
        # The response to it ends the connection: to end it now, with audio unread, would reset it (RFC 6455, 7.1.1).
        if self._transport:
            self._transport.send_close(WSCloseCode.OK)


class MediaAgent(WebsocketServer):
    """Accepts calls on a free loopback port, in a thread of its own (as a context manager) or the caller's (`serve`).

    `on_start` is called with each call after its `start` message, in that thread. With `tls` it serves `wss`.
    """

    def __init__(self, on_start: Callable[[AgentCall], None] | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(lambda request: AgentCall(request, self._started), tls)
        self.calls: list[AgentCall] = []
        self.url = ""
        self._on_start = on_start
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    def next_call(self, seconds: float = 10.0) -> AgentCall:
        """Return a call that was not returned before, the oldest first. Raises `TimeoutError`."""
        wait_for(lambda: bool(self.calls), "a call to the agent", seconds)
        return self.calls.pop(0)

    def _started(self, call: AgentCall) -> None:
        self.calls.append(call)
        if self._on_start:
            self._on_start(call)

    def _ready(self, url: str) -> None:
        self.url = url

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.serve(self._ready))

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: self.url, "the agent's port")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._thread.join()
