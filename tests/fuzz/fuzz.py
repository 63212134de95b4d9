"""`make fuzz`: tens of thousands of hostile messages, which must not disturb the calls in progress.

`python -m tests.fuzz.fuzz [--messages N] [--seed N] [--folder DIR] [--rest SECONDS]`
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from tests.bench.media_load import Load, media_load
from tests.harness.media.quality import Quality, measure_streams
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.simulator import simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from tests.harness.sip.raw_sender import Pinger
from tests.harness.usage import open_files, rss_mb
from tests.harness.waiting import wait_for

from .hostile_peer import HostilePeer, Target
from .mutator import Mutator
from .report import FuzzReport

NUMBER = "+19995550001"
_NAMES = ("release", "waiting", "websocket", "sip", "ending")
BACKGROUND_CALLS = 4
BATCH = 25
# PRACK and then ACK may be waited for, 32 s each (RFC 3262, 3; RFC 3261, 13.3.1.4).
_SETTLE_SECONDS = 100.0
_POLL_SECONDS = 10.0
_POOLS = 20  # more than before: a REFER's subscription may last ten minutes
_SAMPLES = 5  # of memory, during the run
_OWN_FAULT = re.compile(r'"event":"internal_error"|Traceback|Assert|core dumped|"level":"ERROR"')


class FuzzFailedError(Exception):
    """The bridge failed; the message names the file with the last messages sent."""


def fuzz(
    messages: int, seed: int, folder: Path, report_progress: Callable[[str], None], rest_seconds: float = 0
) -> FuzzReport:
    """Run the bridge, hold calls through it, and send it this many mutants. Raises `FuzzFailedError`.

    Memory is measured once more after a rest: the bridge releases what it no longer needs within two minutes.
    """
    report = FuzzReport()
    with ExitStack() as stack:
        cxone = stack.enter_context(simulator(folder))
        callers = stack.enter_context(media_load("rtp", folder, "callers", 0))
        agents = stack.enter_context(media_load("websocket", folder, "agents", 100))
        mutator = Mutator(seed)
        # The peer must know the bridge's port and the bridge the peer's, so the peer's UDP socket is opened first.
        placeholder = socket.socket(type=socket.SOCK_DGRAM)
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        placeholder.close()
        settings = bridge_settings(
            folder,
            {"fuzz": client_settings(NUMBER, cxone.url, _projects(agents.where, port))},
            sip={"max_calls": 200},
        )
        running = stack.enter_context(bridge(settings, folder))
        targets = [Target(NUMBER, token(name)) for name in _NAMES]
        peer = HostilePeer(mutator, running.sip, running.sip_tcp, targets, port)
        stack.callback(peer.release)
        at_rest = _Resources.of(running)
        with _background_calls(running, folder, callers) as held:
            pid = running.program.pid
            before = wait_for(
                lambda: _Resources.of(running).with_background_calls(at_rest), "the background calls in the metrics"
            )
            report.memory_mb.append(rss_mb(pid))
            _send(report, running, peer, messages, folder, report_progress)
            peer.close()
            report_progress("waiting for all calls but the background calls to end")
            after = _settle(running, peer, before)
            report.memory_mb.append(rss_mb(pid))
            report.files = before.files, after.files
            report.pools = before.pools, after.pools
            if rest_seconds:
                report_progress(f"resting for {rest_seconds:.0f} s")
                time.sleep(rest_seconds)
                report.memory_mb.append(rss_mb(pid))
            until_ns = time.time_ns()
            for call_id in held:
                answer = running.project("fuzz", "background", key("background")).request(
                    f"calls/{call_id}/hangup", "POST"
                )
                if answer.status // 100 != 2:
                    raise FuzzFailedError(f"the API cannot end a background call: {answer.body!r}")
        running.wait_until_idle()
        report.audio = _audio(callers, agents, until_ns)
        report.kinds, report.statuses = mutator.counts, dict(peer.statuses)
        report.connections = peer.connections
        log = running.program.log.read_text(errors="replace").splitlines()
        report.faults = [line for line in log if _OWN_FAULT.search(line)]
    return report


def _projects(agent_url: str, agent_port: int) -> dict[str, Settings]:
    websocket = {"type": "websocket", "url": agent_url}
    return {
        "background": project_settings("background", agent=websocket),
        "websocket": project_settings("websocket", agent=websocket),
        "release": project_settings("release"),
        "waiting": project_settings("waiting", agent={"type": "prompt", "audio": str(_GREETING)}),
        "sip": project_settings("sip", agent={"type": "sip", "uri": f"sip:agent@127.0.0.1:{agent_port}"}),
        "ending": project_settings("ending", agent={"type": "prompt", "then": "hangup"}),
    }


_GREETING = Path(__file__).resolve().parents[2] / "config" / "prompts" / "greeting.wav"


@contextmanager
def _background_calls(running: Bridge, folder: Path, callers: Load) -> Iterator[list[str]]:
    """Hold calls with audio in both directions; yield their ids. SIPp checks that each gets its BYE at the end."""
    project = running.project("fuzz", "background", key("background"))
    keys = {"token": token("background"), "contact_id": "1", "main_contact_id": "1", "payload_type": "0"}
    options = call_options(BACKGROUND_CALLS)
    with Sipp(
        "media_caller",
        folder,
        remote=running.sip,
        number=NUMBER,
        keys={**keys, "rtp_port": callers.where},
        options=options,
    ) as sipp:

        def talking() -> list[str] | None:
            ids = [call["id"] for call in project.calls("1") if call["state"] == "talking"]
            return ids if len(ids) == BACKGROUND_CALLS else None

        yield wait_for(talking, "the background calls")
        sipp.check()


def _send(
    report: FuzzReport,
    running: Bridge,
    peer: HostilePeer,
    messages: int,
    folder: Path,
    report_progress: Callable[[str], None],
) -> None:
    began = reported = time.monotonic()
    with Pinger(running.sip) as pinger:
        while report.messages < messages:
            if report.messages % (4 * BATCH) == 0:
                peer.call(over_tcp=report.messages % (8 * BATCH) == 0)
            sent = peer.send_mutants(min(BATCH, messages - report.messages))
            report.messages += len(sent)
            took = pinger.ping()
            if took is None:
                raise FuzzFailedError(_save_last_messages(running, sent, folder))
            report.pings_ms.append(took)
            peer.listen()
            if time.monotonic() - reported > 10:
                reported = time.monotonic()
                report_progress(
                    f"{report.messages} of {messages} messages, {report.messages / (reported - began):.0f} a second"
                )
            if report.messages * _SAMPLES // messages == len(report.memory_mb):
                report.memory_mb.append(rss_mb(running.program.pid))
    report.seconds = time.monotonic() - began


def _save_last_messages(running: Bridge, sent: list[bytes], folder: Path) -> str:
    file = folder / "last-messages.bin"
    file.write_bytes(b"\n-----8<-----\n".join(sent))
    state = "hangs" if running.program.is_running else f"has ended ({running.program.wait()})"
    return f"the bridge {state}; the last messages sent: {file}; its log: {running.program.log}"


@dataclass(frozen=True, slots=True)
class _Resources:
    """The resources that the bridge holds: calls in progress, open files and sockets, PJSIP's pools in use."""

    calls: int
    files: int
    pools: int

    @classmethod
    def of(cls, running: Bridge) -> Self:
        metrics = running.metrics()
        return cls(
            round(metrics.value("sipbridge_calls_active")),
            open_files(running.program.pid),
            round(metrics.value("sipbridge_pjsip_pools_in_use")),
        )

    def with_background_calls(self, at_rest: _Resources) -> Self | None:
        return self if self.calls == BACKGROUND_CALLS and self.pools > at_rest.pools else None

    def is_within(self, before: _Resources) -> bool:
        return self.calls == before.calls and self.files <= before.files + 2 and self.pools <= before.pools + _POOLS


def _settle(running: Bridge, peer: HostilePeer, before: _Resources) -> _Resources:
    """Wait until calls, their memory and the sockets of others are as before; return what is held then."""

    def settled() -> _Resources | None:
        peer.listen()
        held = _Resources.of(running)
        return held if held.is_within(before) else None

    def hung_up() -> _Resources | None:
        # Repeated, because a call may have been on its way to its agent.
        for name in _NAMES:
            _hang_up_all(running.project("fuzz", name, key(name)))
        with suppress(TimeoutError):
            return wait_for(settled, "all to be as before", _POLL_SECONDS)
        return None

    try:
        return wait_for(hung_up, "all to be as before", _SETTLE_SECONDS)
    except TimeoutError:
        raise FuzzFailedError(f"the bridge holds {_Resources.of(running)}, and held {before} before") from None


def _hang_up_all(project: Project) -> None:
    """End the remaining calls: mutants have set up some with headers in which the peer cannot end them."""
    page = project.request("calls?limit=200").json()["calls"]
    while page:
        for call in page:
            if call["state"] == "talking":
                project.request(f"calls/{call['id']}/hangup", "POST")
        query = urlencode({"limit": 200, "before": page[-1]["started_at"]})
        page = project.request(f"calls?{query}").json()["calls"]


def _audio(callers: Load, agents: Load, until_ns: int) -> Quality:
    """Measure what was sent before the hang-ups: each call ends at its own time then, once its agent has spoken."""
    ours, theirs = callers.stop(), agents.stop()
    # Of the background calls only: the first to have called, and to have been called.
    total = Quality()
    for sent, received, streams in (
        (ours.sent, theirs.received, range(BACKGROUND_CALLS)),
        (theirs.sent, ours.received, range(100, 100 + BACKGROUND_CALLS)),
    ):
        total.add(measure_streams({stream: sent[stream] for stream in streams}, received, end_ns=until_ns))
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; return 1 if the bridge failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="for logs; kept")
    parser.add_argument("--rest", type=float, default=130, metavar="SECONDS", help="pause before the last measurement")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="sipbridge-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report = fuzz(
            options.messages,
            options.seed,
            folder,
            lambda text: print(text, flush=True),  # noqa: T201
            options.rest,
        )
    except FuzzFailedError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    sys.stdout.write(f"{report}\n")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
