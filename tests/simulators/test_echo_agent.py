from __future__ import annotations

import asyncio
import base64
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSCloseCode, WSMsgType, web

from sipbridge.simulators.echo_agent import FAREWELL, GREETING, PATH, EchoAgent, main
from tests.harness.media.g711 import MULAW

DIGITS = "43#"
HANDOFF = {"destination": "sales", "reason": "asked_for_human"}
STREAM = "MZ" + "0" * 31 + "1"
RUN = [sys.executable, "-m", "sipbridge", "agent", "--listen", "127.0.0.1:0", "--keys", DIGITS]

Output = pytest.CaptureFixture[str]


class Bridge:
    """The bridge's end of a socket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, event: str, content: Mapping[str, Any] | None = None) -> None:
        await self.socket.send_json({"event": event, "streamSid": STREAM, **({event: content} if content else {})})

    async def start(self) -> None:
        await self.socket.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.send("start", {"streamSid": STREAM, "customParameters": {"project": "billing"}})

    async def send_audio(self, audio: bytes) -> None:
        await self.send("media", {"track": "inbound", "payload": base64.b64encode(audio).decode()})

    async def send_digits(self, digits: str) -> None:
        for digit in digits:
            await self.send("dtmf", {"track": "inbound_track", "digit": digit})

    async def next(self, event: str) -> Any:  # noqa: ANN401 (JSON)
        """Return the content of the next message, which must be that event."""
        message = await self.socket.receive_json(timeout=5)
        assert (message["event"], message["streamSid"]) == (event, STREAM)
        return message[event]

    async def audio(self) -> bytes:
        return base64.b64decode((await self.next("media"))["payload"])

    async def skip_greeting(self) -> None:
        await self.start()
        await self.audio()
        await self.send("mark", await self.next("mark"))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of a running agent."""
    runner = web.AppRunner(EchoAgent(DIGITS, HANDOFF).app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    await runner.cleanup()


@pytest.fixture
async def bridge(url: str) -> AsyncIterator[Bridge]:
    async with ClientSession() as session, session.ws_connect(url) as socket:
        yield Bridge(socket)


async def test_the_agent_greets_and_sends_a_mark(bridge: Bridge) -> None:
    await bridge.start()
    assert await bridge.audio() == GREETING
    assert await bridge.next("mark") == {"name": "greeting"}


@pytest.mark.parametrize("words", [GREETING, FAREWELL], ids=["greeting", "farewell"])
def test_its_notes_are_audible_and_do_not_click(words: bytes) -> None:
    levels = [MULAW[byte] for byte in words]
    assert max(levels) > 7000
    assert min(levels) < -7000
    steps = max(abs(after - before) for before, after in pairwise(levels))
    assert steps < 8000  # the highest note at its loudest has about 6,200
    assert abs(levels[0]) < 100
    assert abs(levels[-1]) < 100


async def test_the_agent_echoes_audio_after_the_greeting_only(bridge: Bridge) -> None:
    await bridge.start()
    await bridge.send_audio(bytes(160))
    await bridge.audio()
    await bridge.send("mark", await bridge.next("mark"))
    for number in range(1, 4):
        await bridge.send_audio(bytes([number]) * 160)
    assert [await bridge.audio() for _ in range(3)] == [bytes([number]) * 160 for number in range(1, 4)]


async def test_the_digit_sequence_triggers_a_goodbye_and_then_the_handoff(bridge: Bridge) -> None:
    await bridge.skip_greeting()
    await bridge.send_audio(bytes(160))
    await bridge.audio()
    await bridge.send_digits(f"1{DIGITS}")
    assert await bridge.audio() == FAREWELL
    assert await bridge.next("handoff") == {**HANDOFF, "data": {"echoed_seconds": 0.02}}


async def test_other_digits_trigger_no_handoff(bridge: Bridge) -> None:
    await bridge.skip_greeting()
    await bridge.send_digits("4#3")
    await bridge.send_audio(b"x" * 160)
    assert await bridge.audio() == b"x" * 160


async def test_the_echo_stops_at_the_request_and_resumes_if_it_is_refused(bridge: Bridge) -> None:
    await bridge.skip_greeting()
    await bridge.send_digits(DIGITS)
    await bridge.audio()
    await bridge.next("handoff")
    await bridge.send_audio(b"quiet" * 32)
    await bridge.send("handoff", {"status": 422, "error_message": "no such destination"})
    await bridge.send_audio(b"again" * 32)
    assert await bridge.audio() == b"again" * 32


async def test_unknown_events_are_ignored(bridge: Bridge) -> None:
    await bridge.skip_greeting()
    await bridge.send("weather", {"sun": "shines"})
    await bridge.send_audio(b"x" * 160)
    assert await bridge.audio() == b"x" * 160


async def test_each_caller_has_a_separate_digit_sequence(bridge: Bridge, url: str) -> None:
    async with ClientSession() as session, session.ws_connect(url) as other_socket:
        other = Bridge(other_socket)
        await bridge.skip_greeting()
        await other.skip_greeting()
        await bridge.send_digits(DIGITS[:-1])
        await other.send_digits(DIGITS[-1])
        for one in (bridge, other):
            await one.send_audio(b"x" * 160)
            assert await one.audio() == b"x" * 160


async def test_each_event_prints_one_line(bridge: Bridge, capsys: Output) -> None:
    await bridge.skip_greeting()
    await bridge.send_digits(DIGITS)
    await bridge.audio()
    await bridge.next("handoff")
    await bridge.send("handoff", {"id": "c1", "state": "handoff_initiated"})
    await bridge.send("stop", {"callSid": "CA"})
    await bridge.socket.close()
    out = ""
    while "closed" not in out:
        await asyncio.sleep(0)
        out += capsys.readouterr().out
    assert out.splitlines() == [
        "call 1: connected, customParameters: project",
        "call 1: greeting played",
        "call 1: DTMF digit",
        "call 1: DTMF digit",
        "call 1: DTMF digit",
        "call 1: handoff requested",
        "call 1: handoff accepted",
        "call 1: stop",
        "call 1: socket closed, code 1000",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_program_prints_its_url_and_stops_on_a_signal(number: signal.Signals) -> None:
    program = await asyncio.create_subprocess_exec(*RUN, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    assert program.stdout is not None
    line = (await program.stdout.readline()).decode()
    found = re.fullmatch(rf"agent ready: (ws://127\.0\.0\.1:\d+{PATH}), hands off on {DIGITS}\n", line)
    assert found, line
    async with ClientSession() as session, session.ws_connect(found[1]) as connected:
        await Bridge(connected).skip_greeting()
        program.send_signal(number)
        message = await connected.receive(timeout=5)
        assert (message.type, message.data) == (WSMsgType.CLOSE, WSCloseCode.GOING_AWAY)
    _, errors = await program.communicate()
    assert (program.returncode, errors) == (0, b"")


def test_an_address_in_use_is_one_line_of_error(capsys: Output) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert main("127.0.0.1", port, DIGITS, HANDOFF) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert printed.err.count("\n") == 1
