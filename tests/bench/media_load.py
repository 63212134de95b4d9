"""A process that is one side of many calls' audio: callers or SIP agents (RTP on one port), or WebSocket agents.

`python -m tests.bench.media_load KIND --first-stream N --output FILE`, with `rtp`, `websocket` or `echo` as KIND. It
prints its address, sends stamped frames in every call, and on SIGTERM writes what it sent and received. Until then it
only stores each received frame with its time; decoding would cost time during the measurement. WebSocket agents that
`echo` return the callers' frames, and have none of their own.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop

from tests.harness.media.echo_agent import EchoAgent
from tests.harness.media.media_agent import AgentCall, MediaAgent
from tests.harness.media.quality import percentile
from tests.harness.media.rtp_peer import RtpLoop, RtpStream
from tests.harness.media.stamp import ReceivedFrame, Stamp, Stamps
from tests.harness.programs.program import Program

KINDS = ("rtp", "websocket", "echo")
_ROOT = Path(__file__).resolve().parents[2]
_FRAME_NS = 20_000_000
_PRIORITY = 20  # over the threads of the bridge (1 and 2) and of Asterisk (10)


@dataclass(frozen=True, slots=True)
class Side:
    """The frames that one side sent, by stream, and received; and packets that the kernel dropped."""

    sent: dict[int, list[int]]
    received: list[ReceivedFrame]
    dropped: int

    @classmethod
    def read(cls, file: Path) -> Side:
        """Read the process's output file."""
        content = orjson.loads(file.read_bytes())
        sent = {int(stream): times for stream, times in content["sent"].items()}
        received = [ReceivedFrame(Stamp(*stamp), at_ns, whole) for *stamp, at_ns, whole in content["received"]]
        return cls(sent, received, content["dropped"])

    @property
    def unevenness_ms(self) -> float:
        """How late the process itself sent 99 % of its frames, relative to the most punctual frame of each stream."""
        late = []
        for times in self.sent.values():
            offsets = [at_ns - number * _FRAME_NS for number, at_ns in enumerate(times)]
            first = min(offsets, default=0)
            late += [(offset - first) / 1e6 for offset in offsets]
        return percentile(late, 99)


class Load:
    """The running process; `where` is its port or its URL."""

    def __init__(self, program: Program, where: str, file: Path) -> None:
        self.program = program
        self.where = where
        self._file = file

    def stop(self) -> Side:
        """End it; return what it sent and received."""
        self.program.terminate()
        if self.program.wait(60) != 0:
            raise self.program.error("failed")
        return Side.read(self._file)


@contextmanager
def media_load(kind: str, folder: Path, name: str, first_stream: int) -> Iterator[Load]:
    """Run one side, of a kind (`KINDS`); its streams are numbered from `first_stream`."""
    file = folder / f"{name}.json"
    options = [kind, "--first-stream", str(first_stream), "--output", str(file)]
    command = [sys.executable, "-m", "tests.bench.media_load", *options]
    with Program(command, folder / f"{name}.log", environ={"PYTHONPATH": str(_ROOT)}) as program:
        yield Load(program, program.line_with("ready").split()[-1], file)


class _Recorder:
    """All calls of one side, each with stamps of its own."""

    def __init__(self, first_stream: int) -> None:
        self._numbers = itertools.count(first_stream)
        self.stamps: list[Stamps] = []
        self.calls: list[RtpStream | AgentCall] = []

    def send_stamps(self, call: RtpStream | AgentCall) -> None:
        stamps = Stamps(next(self._numbers))
        self.stamps.append(stamps)
        self.calls.append(call)
        call.send_frames(stamps)

    def write(self, file: Path, dropped: int) -> None:
        received = [
            (each.stamp.stream, each.stamp.number, each.stamp.sent_ns, each.at_ns, each.whole)
            for call in self.calls
            for each in call.stamps()
        ]
        sent = {str(stamps.stream): stamps.sent.tolist() for stamps in self.stamps}
        file.write_bytes(orjson.dumps({"sent": sent, "received": received, "dropped": dropped}))


def main() -> None:
    """Run one side until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.media_load", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--first-stream", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    recorder = _Recorder(options.first_stream)
    # No code here makes reference cycles; the collector would only interrupt the audio.
    gc.disable()
    _raise_priority()
    dropped = {"rtp": _run_rtp, "websocket": _run_websocket, "echo": _run_echo}[options.kind](recorder)
    recorder.write(options.output, dropped)


def _raise_priority() -> None:
    """Take priority on this machine, if permitted: real callers and agents have machines of their own."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))


def _run_rtp(recorder: _Recorder) -> int:
    loop = RtpLoop()
    _on_sigterm(loop.stop)
    with loop.port(on_stream=recorder.send_stamps) as port:
        _print_ready(port.port)
        loop.run()
        return port.dropped


def _run_websocket(recorder: _Recorder) -> int:
    agent = MediaAgent(recorder.send_stamps)
    _on_sigterm(agent.stop)
    uvloop.run(agent.serve(_print_ready))
    return 0


def _run_echo(_: _Recorder) -> int:
    agent = EchoAgent()
    _on_sigterm(agent.stop)
    uvloop.run(agent.serve(_print_ready))
    return 0


def _on_sigterm(stop: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: stop())


def _print_ready(where: int | str) -> None:
    sys.stdout.write(f"ready {where}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
