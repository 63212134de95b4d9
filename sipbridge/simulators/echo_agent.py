"""A small voice agent, to try the bridge with and to copy: it greets, echoes, and hands off on a word of keys.

It speaks Twilio Media Streams (twilio.com/docs/voice/media-streams/websocket-messages) as any agent written for Twilio
does, and one event more, `handoff` (docs/agents.md). It needs aiohttp and nothing of sipbridge: take this file, put
your speech recognition in the place of `_hear` and your voice in the place of `_say`, and it is an agent of your own.
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
_RATE = 8000  # samples a second; one of mu-law is a byte
_FRAMES_A_SECOND = 50
_GREETING_HZ = (523, 659, 784, 1047)  # C, E, G, C: up for welcome
_FAREWELL_HZ = (1047, 784, 523)  # and down again
_NOTE_SECONDS = 0.3
_LOUDNESS = 8000  # of 32767: about as loud as speech


def _mulaw(sample: int) -> int:
    """Compress a 16-bit sample to 8 bits (ITU-T G.711): sign, exponent and mantissa, all bits inverted."""
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | mantissa) & 0xFF


def _note(hertz: float) -> bytes:
    """One note as mu-law, swelling and fading so that it does not click."""
    length = round(_NOTE_SECONDS * _RATE)
    return bytes(
        _mulaw(round(_LOUDNESS * math.sin(math.pi * i / length) * math.sin(2 * math.pi * hertz * i / _RATE)))
        for i in range(length)
    )


GREETING = b"".join(map(_note, _GREETING_HZ))
FAREWELL = b"".join(map(_note, _FAREWELL_HZ))


class Conversation:
    """One caller: a WebSocket from its `start` to its `stop`."""

    def __init__(self, socket: web.WebSocketResponse, name: str, keys: str, handoff: Mapping[str, str]) -> None:
        self._socket = socket
        self._name = name
        self._keys = keys
        self._handoff = handoff
        self._stream = ""
        self._echoing = False
        self._echoed_frames = 0
        self._pressed = ""

    async def run(self) -> None:
        """Talk until the other side closes the socket."""
        with suppress(ConnectionResetError):  # it closed while we were sending
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(message.json())
        self._log(f"socket closed, code {self._socket.close_code}")

    async def _take(self, message: dict[str, Any]) -> None:
        """Do what a message asks for. An unknown event is no mistake: there may be more of them one day."""
        match message["event"]:
            case "start":
                await self._start(message["start"])
            case "media":
                await self._hear(message["media"]["payload"])
            case "mark":
                # It comes back once all that was sent before it has been played. Only now the echo begins: audio is
                # played in the order in which it was sent, so an earlier echo would lag by the rest of the greeting.
                self._log(f"{message['mark']['name']} played")
                self._echoing = True
            case "dtmf":
                await self._press(message["dtmf"]["digit"])
            case "handoff":
                self._answered(message["handoff"])
            case "stop":
                self._log("stop")

    async def _start(self, start: dict[str, Any]) -> None:
        """Greet. `customParameters` tell who is calling whom, and which headers the trunk sent."""
        self._stream = start["streamSid"]
        self._log(f"connected, told {', '.join(sorted(start['customParameters'])) or 'nothing'}")
        await self._say(GREETING)
        await self._send("mark", {"name": "greeting"})

    async def _hear(self, payload: str) -> None:
        """Echo 20 ms of what the caller says: the payload goes back as it came."""
        if self._echoing:
            self._echoed_frames += 1
            await self._send("media", {"payload": payload})

    async def _press(self, key: str) -> None:
        """Look whether the last keys make the word; then say goodbye and ask for the handoff.

        The bridge plays what was sent before the request to its end. An echo that went on would hold it up.
        """
        self._log("a key")  # not which: it may be of a PIN
        self._pressed = (self._pressed + key)[-len(self._keys) :]
        if self._pressed != self._keys:
            return
        self._echoing = False
        await self._say(FAREWELL)
        data = {"echoed_seconds": self._echoed_frames / _FRAMES_A_SECOND}  # what the human should know of the talk
        await self._send("handoff", {**self._handoff, "data": data})
        self._log("handoff asked for")

    def _answered(self, answer: dict[str, Any]) -> None:
        """Go on where the handoff was refused; where it was accepted, `stop` follows."""
        if "error_message" in answer:
            self._log(f"handoff refused: {answer['error_message']}")
            self._echoing = True
        else:
            self._log("handoff accepted")

    async def _say(self, audio: bytes) -> None:
        """Have mu-law played after what is queued. It may be of any length: the bridge keeps the time."""
        await self._send("media", {"payload": base64.b64encode(audio).decode()})

    async def _send(self, event: str, content: Mapping[str, Any]) -> None:
        await self._socket.send_json({"event": event, "streamSid": self._stream, event: content})

    def _log(self, line: str) -> None:
        _print(f"{self._name}: {line}")


class EchoAgent:
    """All callers: a conversation for each socket. `handoff` is what it asks for, as in docs/http-api.md."""

    def __init__(self, keys: str, handoff: Mapping[str, str]) -> None:
        self._keys = keys
        self._handoff = handoff
        self._calls = 0
        self._sockets: set[web.WebSocketResponse] = set()

    def app(self) -> web.Application:
        """Build the web application that takes the callers, at `PATH`."""
        app = web.Application()
        app.router.add_get(PATH, self._talk)
        app.on_shutdown.append(self._leave)
        return app

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=20)  # seconds; a bridge that is gone without a word is noticed
        try:
            await socket.prepare(request)
        except ConnectionResetError:
            return socket  # the caller did not wait for us
        self._calls += 1
        self._sockets.add(socket)
        try:
            await Conversation(socket, f"call {self._calls}", self._keys, self._handoff).run()
        finally:
            self._sockets.discard(socket)
        return socket

    async def _leave(self, _: web.Application) -> None:
        """Close as one that goes, not as one that is done (RFC 6455, 7.4.1): the bridge tries again, then hands off."""
        for socket in tuple(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)


def main(host: str, port: int, keys: str, handoff: Mapping[str, str]) -> int:
    """Run the agent until SIGINT or SIGTERM; returns the exit code. Port 0 takes a free one."""
    try:
        asyncio.run(_serve(host, port, keys, handoff))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror or error}\n")
        return 1
    return 0


async def _serve(host: str, port: int, keys: str, handoff: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(EchoAgent(keys, handoff).app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        _print(f"agent ready: ws://{name}:{runner.addresses[0][1]}{PATH}, hands off on {keys}")
        await stop.wait()
    finally:
        await runner.cleanup()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
