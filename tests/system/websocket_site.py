"""A bridge whose projects have WebSocket agents, and an agent that a test controls, faults included."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from picows import (
    WSFrame,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from tests.harness.media.audio import write_silence
from tests.harness.media.g711 import PCMU
from tests.harness.media.media_agent import AgentCall, MediaAgent, Message
from tests.harness.media.rtp_peer import RtpLoop, RtpPort, RtpStream
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import ENDED
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, client_settings, key, project_settings, token
from tests.harness.waiting import wait_for

from .site import NUMBERS, REFER, Contact, PlacedCall, Site, site

# Ways in which an agent is not reached; each has a project `KIND-reject` and a project `KIND-handoff`.
UNREACHED = ("refused", "404", "500", "mute", "mute-tls")
SILENT_SECONDS = 1
PATIENCE_SECONDS = 0.5
CLIP_SECONDS = 2


class ScriptedCall(AgentCall):
    """One connection of an agent that can misbehave; it may leave a close frame unanswered."""

    answers_close = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Record a message and when it arrived."""
        if self.answers_close or frame.msg_type != WSMsgType.CLOSE:
            super().on_ws_frame(transport, frame)

    def stop_reading(self) -> None:
        """Stop reading: messages wait in the kernel, which soon accepts no more."""
        self._loop.call_soon_threadsafe(self._stop_reading)

    def drop(self) -> None:
        """Drop the TCP connection without a close frame."""
        self._loop.call_soon_threadsafe(self._drop)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message, which Media Streams does not define."""
        self._loop.call_soon_threadsafe(self._send_binary, data)

    def wait_for_answer(self, seconds: float = 10.0) -> Message:
        """Return the only response to a `handoff` so far, once it has arrived."""
        ((_, message),) = self.wait_for("handoff", seconds=seconds)
        answer: Message = message["handoff"]
        return answer

    @property
    def start(self) -> Message:
        """The `start` event of the call."""
        ((_, message),) = self.wait_for("start")
        start: Message = message["start"]
        return start

    def _drop(self) -> None:
        if self._transport:
            self._transport.disconnect(graceful=False)

    def _stop_reading(self) -> None:
        if self._transport:
            underlying = self._transport.underlying_transport
            underlying.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            underlying.pause_reading()

    def _send_binary(self, data: bytes) -> None:
        if self._transport:
            self._transport.send(WSMsgType.BINARY, data)


class ScriptedAgent(MediaAgent):
    """Accepts calls on a port; an upgrade at a path such as `/404` gets that status."""

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self._port = port
        self._admitted: list[ScriptedCall] = []
        self._turns_away = False

    def reject_calls(self) -> None:
        """Reject calls from now on: an upgrade gets 503."""
        self._turns_away = True

    async def serve(self, on_ready: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        server = await ws_create_server(self._admit, "127.0.0.1", self._port)
        try:
            on_ready(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await self._stop.wait()
        finally:
            server.close()
            for call in self._admitted:
                call.drop()
            await asyncio.sleep(0)  # for their sockets to be closed

    def call_of(self, contact_id: str, seconds: float = 10.0) -> ScriptedCall:
        """Return a call of that contact that was not returned before, the oldest first. Raises `TimeoutError`."""

        def find_call() -> ScriptedCall | None:
            for call in self.calls:
                assert isinstance(call, ScriptedCall)
                if call.start["customParameters"]["contact_id"] == contact_id:
                    return call
            return None

        call = wait_for(find_call, f"a call of contact {contact_id} to the agent", seconds)
        self.calls.remove(call)
        return call

    def _admit(self, request: WSUpgradeRequest) -> ScriptedCall | WSUpgradeResponseWithListener:
        status = "503" if self._turns_away else request.path.partition(b"?")[0].strip(b"/").decode()
        if status:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(HTTPStatus(int(status))), None)
        call = ScriptedCall(request, self._started)
        self._admitted.append(call)
        return call


@dataclass(frozen=True)
class WebsocketCall(PlacedCall):
    """A call with audio of the test at the caller's end and, if it was reached, an agent at the other."""

    port: RtpPort
    agents: ScriptedAgent

    @property
    def caller(self) -> RtpStream:
        """The caller's audio, once the bridge has sent some."""
        return self.port.stream()

    def agent(self, seconds: float = 10.0) -> ScriptedCall:
        """Return the agent's connection once it has its `start`; the next one after a reconnection."""
        return self.agents.call_of(self.contact.id, seconds)

    def received_audio(self) -> bytes:
        """The audio that the caller has received so far."""
        return b"".join(audio for _, audio in self.caller.audio)

    def signalled_ns(self) -> int:
        """When CXone received the Signal, as `time.time_ns` counts; waits for it."""
        (signal,) = self.cxone.signals(self.contact.id, wait_for=1, seconds=20)
        return round(datetime.fromisoformat(signal["at"]).timestamp() * 1_000_000_000)


@dataclass(frozen=True)
class WebsocketSite:
    """A bridge and its agents; at `spare_port` a test may run an agent of its own."""

    trunk: Site
    rtp: RtpLoop
    agents: ScriptedAgent
    spare_port: int

    @contextmanager
    def call(
        self,
        project: str = "bot",
        scenario: str = "media_caller",
        *,
        hold_seconds: float = 0,
        agents: ScriptedAgent | None = None,
        ptime: int = 20,
    ) -> Iterator[WebsocketCall]:
        """Place a call; the audio of a scenario `media_…` is the test's. That of `media_ptime` asks for this length."""
        contact = Contact.new()
        with ExitStack() as stack:
            port = stack.enter_context(self.rtp.port())
            keys = {
                "token": token(project),
                "contact_id": contact.id,
                "main_contact_id": contact.main_id,
                "rtp_port": str(port.port),
                "payload_type": str(PCMU),
                "ptime": str(ptime),
            }
            sipp = Sipp(
                scenario,
                self.trunk.folder,
                remote=self.trunk.bridge.sip,
                number=NUMBERS["acme"],
                keys=keys,
                options=call_options(hold_seconds=hold_seconds),
            )
            stack.enter_context(sipp)
            api = self.trunk.bridge.project("acme", project, key(project))
            try:
                yield WebsocketCall(sipp, "acme", contact, api, self.trunk.cxone, port, agents or self.agents)
            finally:
                for call in api.calls(contact.id):
                    if call["state"] != ENDED:
                        api.request(f"calls/{call['id']}/hangup", "POST")

    def stage(self, call: WebsocketCall, name: str) -> dict[str, Any]:
        """Return the log fields of a stage of the call's handoff: `seconds`, `result` and `reason`."""

        def logged() -> dict[str, Any] | None:
            lines = self.trunk.bridge.program.log.read_text(errors="replace").splitlines()
            entries = (json.loads(line) for line in lines if call.contact.id in line and '"HandoffStage"' in line)
            return next((entry for entry in entries if entry["stage"] == name), None)

        return wait_for(logged, f"the stage {name} in the log")


@contextmanager
def websocket_site(
    folder: Path,
    cxone: Simulator,
    projects: Callable[[str], dict[str, Settings]] | None = None,
    **changes: Any,  # noqa: ANN401 (YAML)
) -> Iterator[WebsocketSite]:
    """Run an agent, and a bridge: with the projects of an agent at that URL, or with those that most tests need.

    `changes` are those of `site`.
    """
    spare_port = reserved_port()
    with ExitStack() as stack:
        agents = stack.enter_context(ScriptedAgent())
        rtp = stack.enter_context(RtpLoop())
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # TCP connects, and no byte follows
        if projects is None:
            served = _projects(folder, agents.url, spare_port, mute.getsockname()[1])
        else:
            served = projects(agents.url)
        acme = client_settings(NUMBERS["acme"], cxone.url, served)
        trunk = stack.enter_context(site(folder, cxone, clients={"acme": acme}, **changes))
        yield WebsocketSite(trunk, rtp, agents, spare_port)


def websocket_project(name: str, url: str, *, failing: str = "reject", **settings: Any) -> Settings:  # noqa: ANN401 (YAML)
    """A project with an agent at that URL; `agent` and `handoff` are added to its settings."""
    agent: Settings = {"type": "websocket", "url": url, **settings.pop("agent", {})}
    handoff: Settings = settings.pop("handoff", {})
    project = project_settings(name, agent=agent, on_agent_failure=failing, **settings)
    destinations = {"sales": {"skill": "10000003", "method": "release"}, "transfer": REFER}
    project["handoff"]["destinations"].update(destinations)
    project["handoff"]["signal"]["p4"] = "{data.order_id}"
    project["handoff"]["allowed_routes"] = ["sip:*@127.0.0.1:5080"]
    project["handoff"]["release_grace_seconds"] = 0.2
    project["handoff"].update(handoff)
    return project


def _projects(folder: Path, url: str, spare_port: int, mute_port: int) -> dict[str, Settings]:
    spare = f"ws://127.0.0.1:{spare_port}/"
    unreached = {"refused": spare, "404": f"{url}404", "500": f"{url}500", "mute": f"ws://127.0.0.1:{mute_port}/"}
    unreached["mute-tls"] = unreached["mute"].replace("ws:", "wss:")
    projects: dict[str, Settings] = {
        f"{kind}-{failing}": websocket_project(
            f"{kind}-{failing}", where, failing=failing, agent={"connect_timeout_seconds": PATIENCE_SECONDS}
        )
        for kind, where in unreached.items()
        for failing in ("reject", "handoff")
    }
    clip = folder / "key.wav"
    write_silence(clip, CLIP_SECONDS)
    prompt = project_settings("prompt", agent={"type": "prompt", "audio": str(clip)})
    prompt["handoff"]["dtmf_key"] = "0"
    return projects | {
        "bot": websocket_project("bot", url, agent={"parameters": {"tenant": "acme", "caller": "+15550911"}}),
        "fragile": websocket_project("fragile", spare),
        "quiet": websocket_project("quiet", url, agent={"silence_timeout_seconds": SILENT_SECONDS}),
        "keyed": websocket_project("keyed", url, handoff={"dtmf_key": "0"}),
        "keyed-info": websocket_project("keyed-info", url, handoff={"dtmf_key": "5"}),
        "prompt": prompt,
    }


def assert_handoff_still_works(call: WebsocketCall, agent: ScriptedCall) -> None:
    """Show that the call has gone on, by the event that ends it."""
    call_id = call.wait_until_answered()
    agent.hand_off(destination="sales", reason="still_there")
    assert agent.wait_for_answer() == {"id": call_id, "state": "handoff_initiated"}
    call.wait_for_scenario()
    assert call.signals() == [{"p1": "sales", "p2": "10000003", "p3": "still_there"}]


def wait_for_more_audio(agent: ScriptedCall) -> None:
    """Return once the agent has received more audio of the caller."""
    agent.wait_for("media", len(agent.events("media")) + 5)
