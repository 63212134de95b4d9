from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from .media.echo_agent import EchoAgent
from .media.stamp import Stamps

SILENCE = b"\xff" * 160

Send = Callable[[WSMsgType, bytes], None]


class Received(WSListener):
    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[WSMsgType, bytes]] = asyncio.Queue()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 (picows says so)
        self.messages.put_nowait((frame.msg_type, frame.get_payload_as_bytes()))


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Send, asyncio.Queue[tuple[WSMsgType, bytes]]]]:
    agent, url = EchoAgent(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(agent.serve(url.set_result))
    received = Received()
    transport, _ = await ws_connect(lambda: received, await url)
    yield transport.send, received.messages
    transport.disconnect()
    await transport.wait_disconnected()
    agent.stop()
    await serving


async def test_each_frame_of_the_bridge_comes_back_in_its_stream() -> None:
    stamps = Stamps(1)
    async with connection() as (send, received):
        send(WSMsgType.TEXT, b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        send(WSMsgType.TEXT, b'{"event":"start","sequenceNumber":"1","start":{},"streamSid":"MZ1"}')
        frames = [next(stamps) for _ in range(3)]
        for frame in frames:
            payload = b64encode(frame).decode()
            send(
                WSMsgType.TEXT,
                b'{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"0",'
                b'"payload":"%s"},"streamSid":"MZ1"}' % payload.encode(),
            )
        messages = [orjson.loads((await received.get())[1]) for _ in range(4)]
    assert {(message["event"], message["streamSid"]) for message in messages} == {("media", "MZ1")}
    assert [b64decode(message["media"]["payload"]) for message in messages] == [SILENCE, *frames]


async def test_each_frame_of_chan_websocket_comes_back_as_a_binary_message() -> None:
    frame = next(Stamps(1))
    async with connection() as (send, received):
        send(WSMsgType.TEXT, b"MEDIA_START connection_id:1 channel:WebSocket/agent/0x1 optimal_frame_size:160")
        send(WSMsgType.BINARY, frame)
        assert [await received.get(), await received.get()] == [
            (WSMsgType.BINARY, SILENCE),
            (WSMsgType.BINARY, frame),
        ]
