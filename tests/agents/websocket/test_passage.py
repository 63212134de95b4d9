"""Audio between the leg and the agent's socket that passes Python, and the messages between it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import orjson
import pytest
from picows import WSMsgType, WSTransport

from sipbridge.agents.websocket.budget import Budget
from sipbridge.agents.websocket.passage import Passage
from sipbridge.agents.websocket.protocols.twilio.stream import MediaStream
from sipbridge.calls.ports.sip import AgentSocket as LegSocket

from .passing_audio import PassingAudio
from .support import FRAME, AgentSocket, Site, agent_server


@pytest.fixture(params=["ws", "wss"])
async def site(
    no_unhandled_errors: None,  # noqa: ARG001 (watches)
    certificates: tuple[Path, ssl.SSLContext],
    request: pytest.FixtureRequest,
) -> AsyncIterator[Site]:
    authority, context = certificates
    secure = request.param == "wss"
    async with agent_server(context if secure else None) as server:
        site = Site(server, url=server.url(request.param), ca_file=authority if secure else None)
        site.leg.audio_stream = PassingAudio
        yield site
        await site.clean_up()


@pytest.fixture
def read_by_python(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The messages that Python reads."""
    messages: list[bytes] = []
    receive: Callable[[MediaStream, bytes], None] = MediaStream.receive_text

    def receive_text(stream: MediaStream, payload: bytes) -> None:
        messages.append(bytes(payload))
        receive(stream, payload)

    monkeypatch.setattr(MediaStream, "receive_text", receive_text)
    return messages


def _media(agent: AgentSocket, audio: bytes = FRAME) -> bytes:
    payload = base64.b64encode(audio).decode()
    return orjson.dumps({"event": "media", "streamSid": agent.stream_sid, "media": {"payload": payload}})


def _played(site: Site) -> tuple[int, int]:
    """Return how much the agent has sent, and how much of it was played or cleared."""
    written, played, _ = site.audio.position()
    return written, played


async def test_audio_passes_python(site: Site, read_by_python: list[bytes]) -> None:
    agent = (await site.start_stream())[2]
    for _ in range(5):
        agent.send_audio(FRAME)
        await agent.settle()
    assert _played(site) == (800, 0)
    assert read_by_python == []


async def test_marks_and_clear_have_their_position_in_the_audio(site: Site) -> None:
    agent = (await site.start_stream())[2]
    for name in ("one", "two"):
        agent.send_audio(FRAME)
        agent.send_event("mark", mark={"name": name})
    await agent.settle()
    assert agent.unread.empty()
    agent.send_event("clear")
    assert [(await agent.next("mark"))["mark"]["name"] for _ in range(2)] == ["one", "two"]
    assert _played(site) == (320, 320)
    agent.send_audio(FRAME)
    agent.send_event("mark", mark={"name": "three"})
    await agent.settle()
    assert agent.unread.empty()
    assert _played(site) == (480, 320)
    assert site.call.faults == []


async def test_messages_in_one_read_are_handled_in_order(site: Site) -> None:
    agent = (await site.start_stream())[2]
    clear = orjson.dumps({"event": "clear", "streamSid": agent.stream_sid})
    for message in (_media(agent), _media(agent), clear, _media(agent), b"{}", _media(agent)):
        agent.transport.send(WSMsgType.TEXT, message)
    await agent.settle()
    assert _played(site) == (640, 320)
    assert site.call.faults == ["bad_message"]


@pytest.mark.parametrize("size", [1, 160, 3000, 4000, 20_000])
async def test_audio_of_any_length_arrives(site: Site, size: int) -> None:
    agent = (await site.start_stream())[2]
    for _ in range(3):
        agent.send_audio(b"\x01" * size)
    await agent.settle()
    assert _played(site) == (3 * size, 0)
    assert site.call.faults == []


async def test_audio_between_the_frames_of_a_message_is_a_fault_as_ever(site: Site) -> None:
    agent = (await site.start_stream())[2]
    agent.transport.send(WSMsgType.TEXT, b"{", fin=False)
    agent.send_audio(FRAME)
    assert await agent.closed == 1002
    await (await site.server.accept()).begin()


async def test_the_next_connection_has_a_passage_too(site: Site, read_by_python: list[bytes]) -> None:
    first = (await site.start_stream())[2]
    first.send_audio(FRAME)
    await first.settle()
    first.hang_up()
    second = await site.server.accept()
    start = await second.begin()
    assert start["sequenceNumber"] == "1"
    second.send_audio(FRAME)
    await second.settle()
    assert _played(site) == (320, 0)
    assert read_by_python == []


async def test_an_agent_whose_audio_has_passed_may_end_the_call_at_once(site: Site) -> None:
    _, running, agent = await site.start_stream()
    agent.send_audio(FRAME)
    await agent.settle()
    agent.hang_up(1000)
    await running  # raises AgentLost if the agent has sent no audio
    assert await agent.closed == 1000


async def test_the_numbers_of_messages_go_on(site: Site) -> None:
    conversation, _, agent = await site.start_stream()
    conversation.send_digit("1")
    site.audio.turn()
    conversation.send_digit("2")
    numbers = [(await agent.next(event))["sequenceNumber"] for event in ("dtmf", "media", "dtmf")]
    assert numbers == ["2", "3", "4"]


# ------------------------------------------------------------ the end of a passage


class Recorded:
    """The transport, its budget and the leg's side of the socket; notes what a passage does, in order."""

    is_close_frame_sent = False

    def __init__(self, *, is_secure: bool) -> None:
        self.is_secure = is_secure
        self.underlying_transport = self
        self.happened: list[object] = []
        self.sieve: Callable[[bytes], bytes] | None = None

    def get_extra_info(self, name: str) -> Recorded:
        assert name == "socket"
        return self

    def fileno(self) -> int:
        return 3

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, unsent: bytes) -> None:
        self.happened.append(unsent)

    def sift(self, sieve: Callable[[bytes], bytes] | None) -> None:
        self.sieve = sieve

    def receive(self, received: bytes) -> None:
        self.happened.append(received)

    def read_from(self, source: object) -> None:
        self.happened.append(source)

    def sends(self, sends: bool) -> None:  # noqa: FBT001 (its only argument)
        assert sends

    def close(self) -> bytes:
        return b"partial"


def _open(recorded: Recorded) -> Passage:
    passage = Passage(cast(WSTransport, recorded), cast(Budget, recorded))
    passage.open("MZ1", lambda _descriptor, _stream_sid, _user: cast("LegSocket", recorded))
    return passage


async def test_after_the_end_the_begin_of_a_frame_is_read_before_the_transport_goes_on() -> None:
    recorded = Recorded(is_secure=False)
    passage = _open(recorded)
    passage.close()
    passage.close()
    assert recorded.happened == [recorded]
    await asyncio.sleep(0)
    assert recorded.happened == [recorded, b"partial", None]


async def test_over_tls_a_read_right_after_the_end_begins_with_the_begin_of_its_frame() -> None:
    recorded = Recorded(is_secure=True)
    passage = _open(recorded)
    sieve = recorded.sieve
    assert sieve is not None
    passage.close()
    assert sieve(b" frame") == b"partial frame"
    assert sieve(b"next") == b"next"
    await asyncio.sleep(0)
    assert recorded.sieve is None
    assert recorded.happened == [b""]


async def test_a_fault_of_the_agent_ends_the_passage() -> None:
    for secure in (False, True):
        recorded = Recorded(is_secure=secure)
        passage = _open(recorded)
        recorded.is_close_frame_sent = True
        passage.receive(b"after the fault")
        passage.send_rest(b"lost")
        await asyncio.sleep(0)
        assert b"partial" in recorded.happened
        assert b"lost" not in recorded.happened
