"""Unusual frames and failing sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson
import pytest
from picows import WSFrame, WSMsgType, WSTransport

from sipbridge.agents.websocket import connection
from sipbridge.agents.websocket.connection import Connection
from sipbridge.agents.websocket.protocols.twilio.stream import MediaStream
from tests.fakes import FakeAudioStream
from tests.harness.waiting import wait_for

from .passing_audio import PassingAudio
from .support import FRAME, AgentServer, AgentSocket, Site, agent_server

BIG = connection.MAX_MESSAGE_BYTES


@pytest.fixture(params=[FakeAudioStream, PassingAudio], ids=["messages", "passage"])
async def site(server: AgentServer, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """A site whose audio goes by Python, and one whose audio passes it."""
    site = Site(server)
    site.leg.audio_stream = request.param
    yield site
    await site.clean_up()


def _send_fragments(agent: AgentSocket, pieces: int) -> None:
    message = orjson.dumps({"event": "mark", "streamSid": agent.stream_sid, "mark": {"name": "pieces"}})
    size = len(message) // pieces + 1
    for begin in range(0, len(message), size):
        kind = WSMsgType.CONTINUATION if begin else WSMsgType.TEXT
        agent.transport.send(kind, message[begin : begin + size], fin=begin + size >= len(message))


async def test_a_fragmented_message_is_assembled(site: Site) -> None:
    agent = (await site.start_stream())[2]
    _send_fragments(agent, 5)
    assert (await agent.next("mark"))["mark"]["name"] == "pieces"
    _send_fragments(agent, 2)
    await agent.next("mark")
    assert site.call.faults == []


async def test_control_frames_are_handled_between_fragments(site: Site) -> None:
    agent = (await site.start_stream())[2]
    agent.transport.send(WSMsgType.TEXT, b'{"event":"mark","mark":{"name":"m"},', fin=False)
    await agent.settle()
    agent.transport.send(WSMsgType.CONTINUATION, f'"streamSid":"{agent.stream_sid}"}}')
    await agent.next("mark")


@pytest.mark.parametrize("fragments", [1, 3])
async def test_a_binary_message_is_a_fault_and_the_call_continues(site: Site, fragments: int) -> None:
    _, running, agent = await site.start_stream()
    for number in range(fragments):
        kind = WSMsgType.CONTINUATION if number else WSMsgType.BINARY
        agent.transport.send(kind, FRAME, fin=number == fragments - 1)
    await agent.settle()
    assert site.call.faults == ["bad_message"]
    assert not running.done()


async def _reconnects_after(site: Site, agent: AgentSocket, code: int) -> None:
    assert await agent.closed == code
    await (await site.server.accept()).begin()
    assert site.call.faults[-1] == "reconnected"


async def test_a_message_of_the_largest_size_is_received(site: Site) -> None:
    agent = (await site.start_stream())[2]
    agent.transport.send(WSMsgType.TEXT, b" " * BIG)
    await agent.settle()
    assert site.call.faults == ["bad_json"]


async def test_a_longer_message_closes_the_socket_with_1009(site: Site) -> None:
    agent = (await site.start_stream())[2]
    agent.transport.send(WSMsgType.TEXT, b" " * (BIG + 1))
    await _reconnects_after(site, agent, 1009)
    assert site.call.faults == ["too_long", "reconnected"]


async def test_fragments_that_add_up_to_a_longer_message_close_the_socket_with_1009(site: Site) -> None:
    agent = (await site.start_stream())[2]
    for number in range(5):
        agent.transport.send(WSMsgType.CONTINUATION if number else WSMsgType.TEXT, b" " * (BIG // 4), fin=False)
    await _reconnects_after(site, agent, 1009)
    assert site.call.faults == ["too_long", "reconnected"]


@pytest.mark.parametrize("kinds", [[WSMsgType.CONTINUATION], [WSMsgType.TEXT, WSMsgType.TEXT]])
async def test_fragments_out_of_order_close_the_socket_with_1002(site: Site, kinds: list[WSMsgType]) -> None:
    agent = (await site.start_stream())[2]
    for kind in kinds:
        agent.transport.send(kind, b"{", fin=False)
    await _reconnects_after(site, agent, 1002)


async def test_an_agent_that_answers_pings_keeps_its_socket(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_SECONDS", 0.2)
    _, running, agent = await site.start_stream()
    for _ in range(3):
        await agent.pings.get()
    assert not agent.closed.done()
    assert not running.done()


async def test_an_agent_that_does_not_answer_pings_loses_its_socket(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PING_SECONDS", 0.02)
    site.server.pongs = False
    agent = (await site.start_stream())[2]
    await agent.pings.get()
    await _reconnects_after(site, agent, 1006)


async def _stop_reading(site: Site, agent: AgentSocket) -> int:
    """Have the agent stop reading while the caller speaks. Return after how many frames that was noted."""
    agent.transport.underlying_transport.pause_reading()
    for frames in range(10_000):
        if "not_reading" in site.call.faults:
            return frames
        site.audio.turn()
        if not frames % 50:
            await asyncio.sleep(0)
    raise AssertionError("the flood was not noticed")


async def test_an_agent_that_stops_reading_is_reported_once_and_its_audio_dropped(site: Site) -> None:
    agent = (await site.start_stream())[2]
    frames = await _stop_reading(site, agent)
    for _ in range(200):
        site.audio.turn()
    assert site.call.faults == ["not_reading"]
    agent.transport.underlying_transport.resume_reading()
    chunks = [(await agent.next("media"))["media"] for _ in range(frames)]
    assert chunks[-1]["chunk"] == str(frames)
    await agent.settle()
    site.audio.turn()
    after = (await agent.next("media"))["media"]
    assert after["chunk"] == str(frames + 1)
    assert after["timestamp"] == str(20 * (frames + 200))


async def test_an_agent_that_stops_reading_is_reported_over_tls_too(
    certificates: tuple[Path, ssl.SSLContext],
) -> None:
    authority, context = certificates
    async with agent_server(context) as server:
        site = Site(server)
        _, running, agent = await site.start_stream(url=server.url("wss"), ca_file=authority)
        await _stop_reading(site, agent)
        agent.transport.underlying_transport.resume_reading()
        await agent.settle()
        assert site.call.faults == ["not_reading"]
        assert not running.done()
        await site.clean_up()


class UnreadTransport(asyncio.Transport):
    """A transport whose peer does not read."""

    def __init__(self, own: socket.socket) -> None:
        super().__init__({"socket": own})
        self.protocol: asyncio.BaseProtocol = asyncio.BufferedProtocol()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high
        assert low is None

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class PongTransport:
    """The part of a WSTransport that pings need."""

    is_close_frame_sent = False
    is_disconnected = True
    close_handshake = None

    def __init__(self, underlying: asyncio.Transport) -> None:
        self.underlying_transport = underlying
        self.sent: list[bytes] = []

    def send_pong(self, payload: bytes) -> None:
        self.sent.append(payload)


@dataclass
class Ping:
    """A ping frame."""

    payload: bytes
    msg_type = WSMsgType.PING
    rsv1 = rsv2 = rsv3 = False

    def get_payload_as_bytes(self) -> bytes:
        return self.payload


async def test_an_agent_that_resumes_reading_gets_one_pong_for_its_last_ping() -> None:
    with socket.socket() as own:
        pongs, one = PongTransport(UnreadTransport(own)), connection.Connection()
        transport = cast(WSTransport, pongs)
        one.on_ws_connected(transport)
        one.on_ws_frame(transport, cast(WSFrame, Ping(b"first")))
        assert pongs.sent == [b"first"]
        one.pause_writing()
        for number in range(1000):
            one.on_ws_frame(transport, cast(WSFrame, Ping(b"%d" % number)))
        assert pongs.sent == [b"first"]
        one.resume_writing()
        assert pongs.sent == [b"first", b"999"]
        one.close()


async def test_a_compressed_message_closes_the_socket_with_1002(site: Site) -> None:
    _, _, agent = await site.start_stream()
    agent.transport.send(WSMsgType.TEXT, b"\xaa\x56\x4a\x2d", rsv1=True)
    await _reconnects_after(site, agent, 1002)


async def test_a_flooding_agent_is_disconnected_after_its_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.05)
    agent = (await site.start_stream())[2]
    agent.transport.send(WSMsgType.CONTINUATION, b"out of order")
    for _ in range(100):
        agent.transport.send(WSMsgType.BINARY, b"x" * 100_000)
    assert await agent.closed in (1002, 1006)
    with suppress(Exception):
        await agent.transport.wait_disconnected()
    await (await site.server.accept()).begin()


async def test_an_agent_that_does_not_resume_reading_loses_its_socket(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "DRAIN_SECONDS", 0.05)
    agent = (await site.start_stream())[2]
    await _stop_reading(site, agent)
    await (await site.server.accept()).begin()
    assert site.call.faults == ["not_reading", "reconnected"]
    agent.transport.underlying_transport.resume_reading()
    assert await agent.closed == 1006


async def test_unsent_responses_to_an_agent_that_does_not_read_are_limited(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT_BYTES", 32 * 1024)
    agent = (await site.start_stream())[2]
    await _stop_reading(site, agent)
    for _ in range(100):
        agent.send_event("mark", mark={"name": "n" * 1000})
    await (await site.server.accept()).begin()
    # The kernel may take some more meanwhile, so that the fault comes again.
    assert set(site.call.faults[:-1]) == {"not_reading"}
    assert site.call.faults[-1] == "reconnected"


async def test_an_agent_that_does_not_finish_the_close_handshake_loses_its_socket(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.05)
    conversation, agent = await site.connect()
    agent.closing = False
    await conversation.close(None)
    assert await agent.closed == 1006


async def test_the_last_message_arrives_while_the_agent_is_sending(site: Site) -> None:
    _, running, agent = await site.start_stream()
    for _ in range(20):
        agent.send_audio(b"a" * 8000)
    running.cancel()
    agent.send_audio(b"a" * 8000)
    await agent.next("stop")
    assert await agent.closed == 1000


async def test_an_internal_error_is_raised_by_the_conversation(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _, running, agent = await site.start_stream()

    def fail() -> int:
        raise RuntimeError("no such stream")

    monkeypatch.setattr(site.audio, "clear", fail)
    agent.send_event("clear")
    with pytest.raises(RuntimeError, match="no such stream"):
        await running
    await agent.next("stop")
    assert site.server.attempts == 1


@pytest.mark.parametrize("end", ["caller", "agent"])
async def test_a_call_that_has_ended_is_freed_without_the_garbage_collector(site: Site, end: str) -> None:
    """It runs seldom, and audio waits while it does."""
    gc.collect()
    gc.disable()
    try:
        conversation, running, agent = await site.start_stream()
        assert _in_memory() == {"Connection": 1, "MediaStream": 1}
        if end == "agent":
            agent.hang_up(1000)
            await asyncio.wait([running])
        del conversation, running
        await site.clean_up()
        site.leg.audio = None
        await asyncio.to_thread(wait_for, lambda: not _in_memory(), "the release of both")
    finally:
        gc.enable()


async def test_a_lost_connection_is_freed_without_the_garbage_collector(site: Site) -> None:
    gc.collect()
    gc.disable()
    try:
        agent = (await site.start_stream())[2]
        agent.hang_up()
        await (await site.server.accept()).begin()
        await asyncio.to_thread(wait_for, lambda: _in_memory()["Connection"] == 1, "the release of the first one")
    finally:
        gc.enable()


def _in_memory() -> Counter[str]:
    """Return the number of connections and streams."""
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in (Connection, MediaStream))
