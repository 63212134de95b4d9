"""A small voice agent to try the bridge with and to copy: it greets, echoes, and hands off on a sequence of digits.

It uses Twilio Media Streams (twilio.com/docs/voice/media-streams/websocket-messages) as any agent written for Twilio
does, and one more event, `handoff` (docs/agents.md). It needs aiohttp and nothing of sipbridge. To make an agent of
your own, copy this file and replace `_hear` with speech recognition and `_say` with a voice.
"""

from __future__ import annotations

import asyncio
import base64
import math
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

PATH = "/media"
_RATE = 8000  # samples per second; a mu-law sample is one byte
_FRAMES_PER_SECOND = 50
_GREETING_HZ = (523, 659, 784, 1047)  # C, E, G, C: rising
_FAREWELL_HZ = (1047, 784, 523)  # falling
_NOTE_SECONDS = 0.3
_LOUDNESS = 8000  # of 32767: about as loud as speech


def _mulaw(sample: int) -> int:
    """Compress a 16-bit sample to 8 bits (ITU-T G.711): sign, exponent and mantissa, all bits inverted."""
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | mantissa) & 0xFF


def note(hertz: float) -> bytes:
    """Return one note as mu-law. It fades in and out so that it does not click."""
    length = round(_NOTE_SECONDS * _RATE)
    return bytes(
        _mulaw(round(_LOUDNESS * math.sin(math.pi * i / length) * math.sin(2 * math.pi * hertz * i / _RATE)))
        for i in range(length)
    )


GREETING = b"".join(map(note, _GREETING_HZ))
FAREWELL = b"".join(map(note, _FAREWELL_HZ))


class Conversation:
    """The conversation with one caller: a WebSocket from `start` to `stop`. `digits` trigger the handoff."""

    def __init__(self, socket: web.WebSocketResponse, name: str, digits: str, handoff: Mapping[str, str]) -> None:
        self._socket = socket
        self._name = name
        self._digits = digits
        self._handoff = handoff
        self._stream = ""
        self._echoing = False
        self._echoed_frames = 0
        self._pressed = ""

    async def run(self) -> None:
        """Talk until the bridge closes the socket."""
        with suppress(ConnectionResetError):  # closed while we were sending
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._handle(message.json())
        self._log(f"socket closed, code {self._socket.close_code}")

    async def _handle(self, message: dict[str, Any]) -> None:
        """Handle a message. Ignore unknown events, since a later release may add some."""
        match message["event"]:
            case "start":
                await self._start(message["start"])
            case "media":
                await self._hear(message["media"]["payload"])
            case "mark":
                # The mark comes back when all audio before it has been played. The echo starts only now: audio is
                # played in the order of sending, so an earlier echo would lag behind by the rest of the greeting.
                self._log(f"{message['mark']['name']} played")
                self._echoing = True
            case "dtmf":
                await self._press(message["dtmf"]["digit"])
            case "handoff":
                self._handle_handoff_response(message["handoff"])
            case "stop":
                self._log("stop")

    async def _start(self, start: dict[str, Any]) -> None:
        """Greet. `customParameters` has the caller, the callee, and the headers of the trunk."""
        self._stream = start["streamSid"]
        self._log(f"connected, customParameters: {', '.join(sorted(start['customParameters'])) or 'none'}")
        await self._say(GREETING)
        await self._send("mark", {"name": "greeting"})

    async def _hear(self, payload: str) -> None:
        """Echo 20 ms of the caller's audio: send the payload back unchanged."""
        if self._echoing:
            self._echoed_frames += 1
            await self._send("media", {"payload": payload})

    async def _press(self, digit: str) -> None:
        """If the last digits are the sequence, say goodbye and request the handoff.

        The bridge first plays all audio that was sent before the request. An echo that continued would delay it.
        """
        self._log("DTMF digit")  # without the digit, which may be part of a PIN
        self._pressed = (self._pressed + digit)[-len(self._digits) :]
        if self._pressed != self._digits:
            return
        self._echoing = False
        await self._say(FAREWELL)
        data = {"echoed_seconds": self._echoed_frames / _FRAMES_PER_SECOND}  # for the human agent's screen
        await self._send("handoff", {**self._handoff, "data": data})
        self._log("handoff requested")

    def _handle_handoff_response(self, response: dict[str, Any]) -> None:
        """Continue if the handoff was refused. If it was accepted, `stop` follows."""
        if "error_message" in response:
            self._log(f"handoff refused: {response['error_message']}")
            self._echoing = True
        else:
            self._log("handoff accepted")

    async def _say(self, audio: bytes) -> None:
        """Queue mu-law audio of any length. The bridge plays it at the right speed."""
        await self._send("media", {"payload": base64.b64encode(audio).decode()})

    async def _send(self, event: str, content: Mapping[str, Any]) -> None:
        await self._socket.send_json({"event": event, "streamSid": self._stream, event: content})

    def _log(self, line: str) -> None:
        _print(f"{self._name}: {line}")


class EchoAgent:
    """The agent of all callers, with a conversation per socket. `handoff` is its request, as in docs/http-api.md."""

    def __init__(self, digits: str, handoff: Mapping[str, str]) -> None:
        self._digits = digits
        self._handoff = handoff
        self._calls = 0
        self._sockets: set[web.WebSocketResponse] = set()

    def app(self) -> web.Application:
        """Build the web application that accepts callers at `PATH`."""
        app = web.Application()
        app.router.add_get(PATH, self._talk)
        app.on_shutdown.append(self._close_sockets)
        return app

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=20)  # seconds; detects a bridge that has vanished
        try:
            await socket.prepare(request)
        except ConnectionResetError:
            return socket  # the caller has hung up
        self._calls += 1
        self._sockets.add(socket)
        try:
            await Conversation(socket, f"call {self._calls}", self._digits, self._handoff).run()
        finally:
            self._sockets.discard(socket)
        return socket

    async def _close_sockets(self, _: web.Application) -> None:
        """Close with "going away" (RFC 6455, 7.4.1), so that the bridge reconnects or hands the caller off."""
        for socket in tuple(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)


def main(host: str, port: int, digits: str, handoff: Mapping[str, str]) -> int:
    """Run the agent until SIGINT or SIGTERM; return the exit code. Port 0 takes a free one."""
    try:
        asyncio.run(_serve(host, port, digits, handoff))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror or error}\n")
        return 1
    return 0


async def _serve(host: str, port: int, digits: str, handoff: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(EchoAgent(digits, handoff).app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        _print(f"agent ready: ws://{name}:{runner.addresses[0][1]}{PATH}, hands off on {digits}")
        await stop.wait()
    finally:
        await runner.cleanup()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
