"""A bridge whose agents and callers are third-party programs, and its CXone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.media.g711 import MULAW_SILENCE, MULAW_TO_ALAW, PCMU, RATE
from tests.harness.media.quality import Quality, measure_stream
from tests.harness.media.recordings import as_linear, write_wav
from tests.harness.media.rtp_peer import RtpLoop, RtpPort, RtpStream
from tests.harness.media.stamp import ReceivedFrame, Stamps, find_stamps
from tests.harness.ports import reserved_port
from tests.harness.programs.baresip import Baresip
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from tests.harness.waiting import wait_for
from tests.harness.web.metrics import Metrics

NUMBERS = {"peers": "+19995550081", "talking": "+19995550082", "referring": "+19995550083", "streaming": "+19995550084"}
BARESIP, BARESIP_TCP, PIPECAT = "baresip", "baresip_tcp", "pipecat"
# For both directions. It takes 80 ms, and 160 with baresip's own buffers, on an idle machine. If the machine stalls,
# an echo keeps the delay that this caused.
DELAY_P50_MS = 800
_TRIES = 4
_TEST_SECONDS = 60
_OVERDUE_NS = 1_000_000_000
_RUN_SECONDS = 20
_CONCEALED_FRAMES = 2

_contacts = itertools.count(115_600_000_001)


@dataclass(frozen=True)
class TracedCall:
    """A call in the view of the bridge's API and CXone."""

    project: Project
    contact_id: str
    cxone: Simulator

    def wait_until_answered(self) -> str:
        """Return the bridge's id of the call once it is answered."""
        return self.project.live_call(self.contact_id)

    def is_live(self) -> bool:
        """True if the call is answered and has not ended."""
        return [call["state"] for call in self.project.calls(self.contact_id)] == ["talking"]

    def hang_up(self) -> None:
        """End the call through the API."""
        answer = self.project.request(f"calls/{self.wait_until_answered()}/hangup", "POST")
        assert answer.status // 100 == 2, answer.body

    def end(self) -> None:
        """End the call through the API when the block ends, unless it has ended before."""
        for call in self.project.calls(self.contact_id):
            self.project.request(f"calls/{call['id']}/hangup", "POST")

    def record(self) -> dict[str, Any]:
        """Return the record once the call has ended."""
        return self.project.ended_call(self.contact_id)

    def signals(self) -> list[dict[str, str]]:
        """Return the parameters of the Signals that CXone received."""
        return [signal["parameters"] for signal in self.cxone.signals(self.contact_id, wait_for=1)]


@dataclass(frozen=True)
class Caller:
    """A caller from the trunk: signalling by SIPp, audio by the test."""

    sipp: Sipp
    call: TracedCall
    port: RtpPort

    @property
    def audio(self) -> RtpStream:
        """The audio, once the call is answered."""
        self.call.wait_until_answered()
        return self.port.stream()

    def has_response(self, status: int) -> bool:
        """True if a response of that status has arrived."""
        return bool(self.sipp.received(status))


@dataclass(frozen=True)
class InteropSite:
    """The running bridge. SIP agents are called at `agent_port`, a desk at `desk_port`."""

    bridge: Bridge
    cxone: Simulator
    folder: Path
    rtp: RtpLoop
    agent_port: int
    desk_port: int

    @contextmanager
    def caller(
        self, project: str, scenario: str = "media_caller", *, payload_type: int = PCMU, pause_seconds: float = 0
    ) -> Iterator[Caller]:
        """Place a call to a project of `peers`; if it is still up when the block ends, the API ends it."""
        contact_id = str(next(_contacts))
        call = self.call_of("peers", project, contact_id)
        with self.rtp.port(payload_type) as port:
            keys = {
                "token": token(project),
                "contact_id": contact_id,
                "main_contact_id": contact_id,
                "rtp_port": str(port.port),
                "payload_type": str(payload_type),
            }
            options = call_options(hold_seconds=pause_seconds)
            number = NUMBERS["peers"]
            with Sipp(scenario, self.folder, remote=self.bridge.sip, number=number, keys=keys, options=options) as sipp:
                yield Caller(sipp, call, port)
                call.end()
                sipp.check()

    def call_of(self, client: str, project: str, contact_id: str) -> TracedCall:
        """The call of a contact."""
        return TracedCall(self.bridge.project(client, project, key(project)), contact_id, self.cxone)

    def number(self, client: str, transport: str = "udp") -> str:
        """The SIP URI under which a caller reaches a client."""
        host = self.bridge.sip_tcp if transport == "tcp" else self.bridge.sip
        return f"sip:{NUMBERS[client]}@{host};transport={transport}"

    def count(self) -> Callable[..., None]:
        """Count from now on: the returned function waits until a counter has grown by 1."""
        before: Metrics = self.bridge.metrics()

        def wait_for_growth(name: str, **labels: str) -> None:
            wait_for(lambda: self.bridge.metrics().since(before, name, **labels) == 1, f"{name}{labels} to grow", 5)

        return wait_for_growth


@contextmanager
def interop_site(folder: Path, cxone: Simulator, pipecat_url: str = "ws://127.0.0.1:9/") -> Iterator[InteropSite]:
    """Run a bridge for all peers."""
    # Not neighbours: baresip uses the next port, too.
    agent_port, _, desk_port = reserved_port(), reserved_port(), reserved_port()
    settings = bridge_settings(folder, _clients(cxone.url, agent_port, desk_port, pipecat_url))
    with RtpLoop() as rtp, bridge(settings, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
        yield InteropSite(running, cxone, folder, rtp, agent_port, desk_port)


def _clients(cxone_url: str, agent_port: int, desk_port: int, pipecat_url: str) -> dict[str, Settings]:
    baresip = {"type": "sip", "uri": f"sip:agent@127.0.0.1:{agent_port}"}
    pipecat = {"type": "websocket", "url": pipecat_url}
    agents = {BARESIP: baresip, BARESIP_TCP: {**baresip, "transport": "tcp"}, PIPECAT: pipecat}
    clients = {"peers": {name: project_settings(name, agent=agent) for name, agent in agents.items()}}
    for project in clients["peers"].values():
        project["handoff"]["destinations"]["sales"] = {"skill": "10000003", "method": "release"}
    human = {"method": "refer", "uri": f"sip:human@127.0.0.1:{desk_port}"}
    clients |= {
        "talking": {"talking": tokenless_project("talking", agent=baresip)},
        "streaming": {"streaming": tokenless_project("streaming", agent=pipecat)},
        "referring": {"referring": tokenless_project("referring", human)},
    }
    return {name: client_settings(NUMBERS[name], cxone_url, projects) for name, projects in clients.items()}


def tokenless_project(name: str, *destination: Settings, **settings: Any) -> Settings:  # noqa: ANN401 (YAML)
    """A project for baresip as a caller: version 1.0 cannot add headers, so that it shows no token.

    The header of the contact id is configurable; SIP's own Call-ID, which is 16 hex digits from baresip, can be one.
    """
    no_token = {"auth_token": None, "headers": {"contact_id": "Call-ID"}}
    return {**project_settings(name, *destination, **settings), **no_token}


def write_recording(file: Path, frames: int, stream: int) -> Path:
    """Write stamped frames, their time that of the writing, and silence for as long as a test may last.

    baresip hangs up at the end of the file.
    """
    sent = b"".join(itertools.islice(Stamps(stream), frames)) + MULAW_SILENCE * RATE * _TEST_SECONDS
    return write_wav(file, as_linear(sent))


def frame_numbers(received: Sequence[ReceivedFrame], stream: int) -> list[int]:
    """The numbers of a stream's stamped frames, in order of arrival."""
    return [each.stamp.number for each in received if each.stamp.stream == stream]


def recorded_frames(peer: Baresip, stream: int) -> list[int]:
    """The numbers of a stream's stamped frames that baresip has received so far."""
    return frame_numbers(list(find_stamps([(0, peer.recorded_audio())])), stream)


def wait_for_run(peer: Baresip, stream: int, run: int) -> None:
    """Return once baresip has received this many frames of a stream without a gap. Raises `TimeoutError`."""
    wait_for(
        lambda: peer.has_recorded(run) and longest_run(recorded_frames(peer, stream)) >= run,
        f"{run} frames of stream {stream} without a gap",
        _RUN_SECONDS,
    )


def wait_for_more_frames(audio: RtpStream, stream: int, frames: int = 50) -> None:
    """Return once this many more frames of a stream have arrived. Raises `TimeoutError`."""
    enough = len(frame_numbers(audio.stamps(), stream)) + frames
    wait_for(lambda: len(frame_numbers(audio.stamps(), stream)) >= enough, f"{frames} more frames of stream {stream}")


def longest_run(received: Iterable[int]) -> int:
    """The length of the longest sequence without a gap, apart from repetitions."""
    longest = run = 0
    for before, number in itertools.pairwise([-1, *dict.fromkeys(received)]):
        run = run + 1 if number == before + 1 else 1
        longest = max(longest, run)
    return longest


def assert_in_order(received: Sequence[int], run: int) -> None:
    """True if no frame is early and enough follow each other without a gap.

    Not all frames arrive: peers begin within a frame, and if a sender is delayed for longer than the jitter buffer
    waits, its late frames are dropped, as they should be. PJMEDIA's concealment then plays audio again that is up to
    one and a half frames old (`EXP_MAX_DIST` of its wsola.c), and until the delay is short again, it drops more frames.
    A loaded machine delays senders now and then, so a test ends the call after the run, not after a time.
    """
    once = list(dict.fromkeys(received))
    assert once == sorted(once), [pair for pair in itertools.pairwise(once) if pair[0] > pair[1]]
    newest = itertools.accumulate(received, max)
    old = [(number, last) for number, last in zip(received, newest, strict=True) if number < last - _CONCEALED_FRAMES]
    assert old == []
    assert longest_run(received) >= run, received


def measure_echo(audio: RtpStream, *, alaw: bool = False, frames: int = 50) -> Quality:
    """Send stamped frames and receive their echo, again if some were late; return the quality."""
    for _ in range(_TRIES):
        quality = _measure_echo(audio, Stamps(next(_streams)), frames, alaw=alaw)
        if not quality.lost and not quality.repeated:
            break
    return quality


def _measure_echo(audio: RtpStream, stamps: Stamps, frames: int, *, alaw: bool) -> Quality:
    sent = itertools.islice(stamps, frames)
    audio.send_frames((frame.translate(MULAW_TO_ALAW) for frame in sent) if alaw else sent)

    def of_these() -> list[ReceivedFrame]:
        return [each for each in audio.stamps() if each.stamp.stream == stamps.stream]

    def is_over() -> bool:
        overdue = audio.has_sent_all and time.time_ns() > stamps.sent[-1] + _OVERDUE_NS
        return overdue or frames - 1 in frame_numbers(of_these(), stamps.stream)

    wait_for(is_over, "the end of the echo")
    return measure_stream(stamps.sent, of_these())


def assert_whole(quality: Quality) -> None:
    """True if the echo is complete, in order, and fast enough for a conversation."""
    assert (quality.lost, quality.repeated, quality.out_of_order) == (0, 0, 0), quality
    assert quality.delay_ms(50) < DELAY_P50_MS, quality.delay_ms(50)


_streams = itertools.count(1)
