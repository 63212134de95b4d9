"""The speakers of a soak: a WebSocket agent of random behaviour, callers' audio that stops, an operator at the API."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable
from types import TracebackType

from picows import WSUpgradeRequest, ws_create_server

from tests.harness.media.g711 import FRAME_BYTES, MULAW_SILENCE
from tests.harness.media.media_agent import AgentCall, MediaAgent, Message
from tests.harness.programs.bridge import Bridge
from tests.harness.settings import key
from tests.harness.worker import Worker

_SPEECH_FRAMES = 25
_ECHO_SECONDS = 1.0  # of each call; then the caller's RTP stops
_NEW_CALL_SECONDS = 2.0  # a far end that was silent for this long is another call
_POLL_SECONDS = 0.2
_ERROR_PROBABILITY = _HANGUP_PROBABILITY = 0.2


class RandomCall(AgentCall):
    """One connection; the agent decides its actions."""

    def drop(self) -> None:
        """Drop the TCP connection without a close frame."""
        if self._transport:
            self._transport.disconnect(graceful=False)


class RandomAgent(MediaAgent):
    """Hands off, ends the call, sends invalid messages or drops its connection, at random, each within seconds."""

    def __init__(self, seed: int) -> None:
        super().__init__(self._begin)
        self._chance = random.Random(seed)  # noqa: S311 (no secret)
        self._dropped: set[str] = set()

    async def serve(self, on_ready: Callable[[str], None]) -> None:
        """Accept calls until `stop`; `on_ready` gets the URL."""
        self._loop = asyncio.get_running_loop()
        server = await ws_create_server(self._accept, "127.0.0.1", 0)
        try:
            on_ready(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await self._stop.wait()
        finally:
            server.close()

    def _accept(self, request: WSUpgradeRequest) -> RandomCall:
        return RandomCall(request, self._started)

    def _begin(self, call: AgentCall) -> None:
        # Not stored: a soak has thousands.
        self.calls.clear()
        actions: list[Callable[[AgentCall], None]] = [
            _hand_off,
            _send_audio_and_hand_off,
            _send_invalid_messages,
            AgentCall.hang_up,
        ]
        # Connected again, it does not drop a second time.
        action = self._chance.choice(actions if _contact_of(call) in self._dropped else [*actions, self._drop])
        asyncio.get_running_loop().call_later(self._chance.uniform(0.1, 0.6), action, call)

    def _drop(self, call: AgentCall) -> None:
        self._dropped.add(_contact_of(call))
        if isinstance(call, RandomCall):
            call.drop()


def _contact_of(call: AgentCall) -> str:
    (_, start), *_ = call.events("start")
    return str(start["start"]["customParameters"]["contact_id"])


def _hand_off(call: AgentCall) -> None:
    call.hand_off(reason="asked for it", data={"order_id": "7"})


def _send_audio_and_hand_off(call: AgentCall) -> None:
    call.send_at_once(MULAW_SILENCE * FRAME_BYTES * _SPEECH_FRAMES)
    call.mark("said")
    _hand_off(call)


def _send_invalid_messages(call: AgentCall) -> None:
    invalid: list[Message | bytes] = [
        b"{",
        b"\xff\xfe",
        {"event": "dance"},
        {"event": "media", "streamSid": "another", "media": {"payload": "AAAA"}},
        {"event": "media", "streamSid": call.stream_sid, "media": {"payload": "?"}},
        {"event": "handoff", "streamSid": call.stream_sid, "handoff": {"destination": "nowhere"}},
    ]
    for message in invalid:
        call.send(message)
    _hand_off(call)


class RtpEcho(Worker):
    """The callers' audio: it is echoed for a second of each call; then it stops."""

    def __init__(self) -> None:
        super().__init__("echo", self._echo, lambda: 0)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(_POLL_SECONDS)
        self._received: dict[tuple[str, int], tuple[float, float]] = {}
        self.port: int = self._socket.getsockname()[1]

    def _echo(self) -> None:
        try:
            packet, far_end = self._socket.recvfrom(2048)
        except TimeoutError:
            return
        now = time.monotonic()
        first, last = self._received.get(far_end, (now, now))
        if now - last > _NEW_CALL_SECONDS:
            first = now
        self._received[far_end] = first, now
        if now - first < _ECHO_SECONDS:
            self._socket.sendto(packet, far_end)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._socket.close()


class ApiClient(Worker):
    """A client of the HTTP API that hands off the calls of the project `api`, or hangs up; some are invalid."""

    def __init__(self, bridge: Bridge, client: str, seed: int) -> None:
        super().__init__("api client", self._poll, lambda: _POLL_SECONDS)
        self._project = bridge.project(client, "api", key("api"))
        self._chance = random.Random(seed)  # noqa: S311 (no secret)

    def _poll(self) -> None:
        for call in self._project.request("calls?limit=50").json()["calls"]:
            if call["state"] == "talking":
                self._control(call["id"])

    def _control(self, call_id: str) -> None:
        if self._chance.random() < _ERROR_PROBABILITY:
            self._project.request(f"calls/{call_id}/handoff", "POST", {"destination": "nowhere"})  # 422
        if self._chance.random() < _HANGUP_PROBABILITY:
            self._project.request(f"calls/{call_id}/hangup", "POST")
        else:
            self._project.request(f"calls/{call_id}/handoff", "POST", {"reason": "by hand", "data": {"order_id": "7"}})
            self._project.request(f"calls/{call_id}/handoff", "POST", {})  # 409
