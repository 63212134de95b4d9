"""A WebSocket agent built from Pipecat's parts, run by the Python of .venv/peers: see `pipecat_peer`.

Each message to and from the bridge passes `TwilioFrameSerializer`, and Pipecat itself detects that its peer is Twilio,
as in https://docs.pipecat.ai/guides/telephony/twilio-websockets. It has no models: it echoes, and DTMF digits trigger
other actions, such as playing the WAV file in its argument. It prints its observations, one line of JSON each.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
import time
import wave
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from pipecat.clocks.system_clock import SystemClock
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.utils.asyncio.task_manager import TaskManager
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

RATE = 8000  # of the pipeline's input: with Twilio's own rate no audio is resampled
PLAY, HAND_OFF, CLEAR, HANG_UP = "1", "2", "*", "0"
HANDOFF = {"destination": "sales", "reason": "asked_for_human", "data": {"order": "A-7"}}


class Socket:
    """The parts of FastAPI's WebSocket that Pipecat uses."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def iter_text(self) -> AsyncIterator[str]:
        """Yield messages until the socket is closed."""
        with suppress(ConnectionClosed):
            while True:
                yield await self._connection.recv(decode=True)


class Call:
    """One connection, from its `start`."""

    def __init__(self, connection: ServerConnection, stream_sid: str, call_sid: str, tune: OutputAudioRawFrame) -> None:
        self._connection = connection
        self._stream_sid = stream_sid
        self._tune = tune
        self._received: list[tuple[int, str]] = []
        self._echoing = True
        self._serializer = TwilioFrameSerializer(
            stream_sid=stream_sid,
            call_sid=call_sid,
            # It would call Twilio's REST API.
            params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
        )

    async def run(self) -> None:
        """Run the conversation until the socket is closed."""
        rates = FrameProcessorSetup(
            clock=SystemClock(), task_manager=TaskManager(), pipeline_worker=None, audio_in_sample_rate=RATE
        )
        await self._serializer.setup(rates)
        with suppress(ConnectionClosed):
            async for message in self._connection:
                await self._handle(message)
        report("closed", code=self._connection.close_code, received=self._received)

    async def _handle(self, message: str | bytes) -> None:
        frame = await self._serializer.deserialize(message)
        match frame:
            case InputAudioRawFrame():
                await self._receive_audio(frame)
            case InputDTMFFrame():
                report("digit", digit=frame.button.value)
                await self._handle_digit(frame.button.value)
            case None:
                report("unhandled", message=json.loads(message))

    async def _receive_audio(self, frame: InputAudioRawFrame) -> None:
        self._received.append((time.time_ns(), base64.b64encode(frame.audio).decode()))
        if self._echoing:
            await self._send(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))

    async def _handle_digit(self, digit: str) -> None:
        if digit == PLAY:
            self._echoing = False
            await self._send(self._tune)
            await self._send_event("mark", {"name": "tune"})
        elif digit == HAND_OFF:
            await self._send_event("handoff", HANDOFF)
        elif digit == CLEAR:
            await self._send(InterruptionFrame())
            report("cleared")
            self._echoing = True
        elif digit == HANG_UP:
            await self._connection.close()

    async def _send_event(self, event: str, content: dict[str, Any]) -> None:
        message = {"event": event, "streamSid": self._stream_sid, event: content}
        await self._send(OutputTransportMessageUrgentFrame(message))

    async def _send(self, frame: Any) -> None:  # noqa: ANN401 (Pipecat is not typed here)
        message = await self._serializer.serialize(frame)
        if message is None:
            report("unsent", frame=type(frame).__name__)
        else:
            # Messages that arrived before the close are still to be read.
            with suppress(ConnectionClosed):
                await self._connection.send(message)


async def handle_call(connection: ServerConnection, tune: OutputAudioRawFrame) -> None:
    """Read the details of the call, and run the conversation."""
    provider, call = await parse_telephony_websocket(Socket(connection))
    report("start", provider=provider, stream_sid=call["stream_id"], call_sid=call["call_id"], parameters=call["body"])
    await Call(connection, call["stream_id"], call["call_id"], tune).run()


def report(event: str, **content: object) -> None:
    """Report an event to the test, with the time of `time.time_ns`."""
    line = json.dumps({"event": event, "at_ns": time.time_ns(), **content})
    print(line, flush=True)  # noqa: T201 (the test reads it)


def read_tune(file: str) -> OutputAudioRawFrame:
    """Read a WAV file of 16 bits at any rate, as speech synthesis would return it."""
    with wave.open(file, "rb") as read:
        return OutputAudioRawFrame(read.readframes(read.getnframes()), read.getframerate(), read.getnchannels())


async def main(file: str) -> None:
    """Serve on a free port until SIGTERM."""
    tune = read_tune(file)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with serve(lambda connection: handle_call(connection, tune), "127.0.0.1", 0) as server:
        report("ready", port=server.sockets[0].getsockname()[1])
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
