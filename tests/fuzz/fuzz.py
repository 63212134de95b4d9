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
from tests.harness.media.quality import Quality, judge_all
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.simulator import simulator
from tests.harness.programs.sipp import Sipp, some_calls
from tests.harness.settings import Settings, bridge_settings, client_settings, key, project_settings, token
from tests.harness.sip.stranger import Pinger
from tests.harness.usage import open_files, rss_mb
from tests.harness.waiting import wait_for

from .hostile_peer import HostilePeer, Target
from .mutator import Mutator
from .report import FuzzReport

NUMBER = "+19995550001"
_NAMES = ("release", "waiting", "websocket", "sip", "ending")
BYSTANDERS = 4
BATCH = 25
# PRACK and then ACK may be waited for, 32 s each (RFC 3262, 3; RFC 3261, 13.3.1.4).
_SETTLE_SECONDS = 100.0
_LOOK_SECONDS = 10.0
_POOLS = 20  # more than before: a REFER's subscription may last ten minutes
_SAMPLES = 5  # of memory, during the run
_OF_ITSELF = re.compile(r'"event":"internal_error"|Traceback|Assert|core dumped|"level":"ERROR"')


class FuzzFailedError(Exception):
    """The bridge failed; the message names the file with the last messages sent."""


def fuzz(messages: int, seed: int, folder: Path, say: Callable[[str], None], rest_seconds: float = 0) -> FuzzReport:
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
        at_rest = _Held.by(running)
        with _bystanders(running, folder, callers) as held:
            pid = running.program.pid
            before = wait_for(lambda: _Held.by(running).beyond(at_rest), "the bystanders' calls in the metrics")
            report.memory_mb.append(rss_mb(pid))
            _send(report, running, peer, messages, folder, say)
            peer.close()
            say("waiting for all calls but the bystanders' to end")
            after = _settle(running, peer, before)
            report.memory_mb.append(rss_mb(pid))
            report.files = before.files, after.files
            report.pools = before.pools, after.pools
            if rest_seconds:
                say(f"resting for {rest_seconds:.0f} s")
                time.sleep(rest_seconds)
                report.memory_mb.append(rss_mb(pid))
            for call_id in held:
                answer = running.project("fuzz", "bystander", key("bystander")).ask(f"calls/{call_id}/hangup", "POST")
                if answer.status // 100 != 2:
                    raise FuzzFailedError(f"the API cannot end a bystander's call: {answer.body!r}")
        running.wait_for_metric(0, "sipbridge_calls_active")
        report.audio = _audio(callers, agents)
        report.kinds, report.statuses = mutator.counts, dict(peer.statuses)
        report.connections = peer.connections
        log = running.program.log.read_text(errors="replace").splitlines()
        report.complaints = [line for line in log if _OF_ITSELF.search(line)]
    return report


def _projects(agent_url: str, agent_port: int) -> dict[str, Settings]:
    websocket = {"type": "websocket", "url": agent_url}
    return {
        "bystander": project_settings("bystander", agent=websocket),
        "websocket": project_settings("websocket", agent=websocket),
        "release": project_settings("release"),
        "waiting": project_settings("waiting", agent={"type": "prompt", "audio": str(_GREETING)}),
        "sip": project_settings("sip", agent={"type": "sip", "uri": f"sip:agent@127.0.0.1:{agent_port}"}),
        "ending": project_settings("ending", agent={"type": "prompt", "then": "hangup"}),
    }


_GREETING = Path(__file__).resolve().parents[2] / "config" / "prompts" / "greeting.wav"


@contextmanager
def _bystanders(running: Bridge, folder: Path, callers: Load) -> Iterator[list[str]]:
    """Hold calls with audio in both directions; yield their ids. SIPp checks that each gets its BYE at the end."""
    project = running.project("fuzz", "bystander", key("bystander"))
    keys = {"token": token("bystander"), "contact_id": "1", "main_contact_id": "1", "payload_type": "0"}
    options = some_calls(BYSTANDERS)
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
            return ids if len(ids) == BYSTANDERS else None

        yield wait_for(talking, "the bystanders' calls")
        sipp.check()


def _send(
    report: FuzzReport, running: Bridge, peer: HostilePeer, messages: int, folder: Path, say: Callable[[str], None]
) -> None:
    began = said = time.monotonic()
    with Pinger(running.sip) as pinger:
        while report.messages < messages:
            if report.messages % (4 * BATCH) == 0:
                peer.call(over_tcp=report.messages % (8 * BATCH) == 0)
            sent = peer.send_mutants(min(BATCH, messages - report.messages))
            report.messages += len(sent)
            took = pinger.ping()
            if took is None:
                raise FuzzFailedError(_last_words(running, sent, folder))
            report.pings_ms.append(took)
            peer.listen()
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say(f"{report.messages} of {messages} messages, {report.messages / (said - began):.0f} a second")
            if report.messages * _SAMPLES // messages == len(report.memory_mb):
                report.memory_mb.append(rss_mb(running.program.pid))
    report.seconds = time.monotonic() - began


def _last_words(running: Bridge, sent: list[bytes], folder: Path) -> str:
    file = folder / "last-messages.bin"
    file.write_bytes(b"\n-----8<-----\n".join(sent))
    state = "hangs" if running.program.is_running else f"has ended ({running.program.wait()})"
    return f"the bridge {state}; the last messages sent: {file}; its log: {running.program.log}"


@dataclass(frozen=True, slots=True)
class _Held:
    """The resources that the bridge holds: calls in progress, open files and sockets, PJSIP's pools in use."""

    calls: int
    files: int
    pools: int

    @classmethod
    def by(cls, running: Bridge) -> Self:
        metrics = running.metrics()
        return cls(
            round(metrics.value("sipbridge_calls_active")),
            open_files(running.program.pid),
            round(metrics.value("sipbridge_pjsip_pools_in_use")),
        )

    def beyond(self, at_rest: _Held) -> Self | None:
        return self if self.calls == BYSTANDERS and self.pools > at_rest.pools else None

    def is_no_more_than(self, before: _Held) -> bool:
        return self.calls == before.calls and self.files <= before.files + 2 and self.pools <= before.pools + _POOLS


def _settle(running: Bridge, peer: HostilePeer, before: _Held) -> _Held:
    """Wait until calls, their memory and the sockets of others are as before; return what is held then."""

    def settled() -> _Held | None:
        peer.listen()
        held = _Held.by(running)
        return held if held.is_no_more_than(before) else None

    def hung_up() -> _Held | None:
        # Repeated, because a call may have been on its way to its agent.
        for name in _NAMES:
            _hang_up_all(running.project("fuzz", name, key(name)))
        with suppress(TimeoutError):
            return wait_for(settled, "all to be as before", _LOOK_SECONDS)
        return None

    try:
        return wait_for(hung_up, "all to be as before", _SETTLE_SECONDS)
    except TimeoutError:
        raise FuzzFailedError(f"the bridge holds {_Held.by(running)}, and held {before} before") from None


def _hang_up_all(project: Project) -> None:
    """End the remaining calls: mutants have set up some with headers in which the peer cannot end them."""
    page = project.ask("calls?limit=200").json()["calls"]
    while page:
        for call in page:
            if call["state"] == "talking":
                project.ask(f"calls/{call['id']}/hangup", "POST")
        query = urlencode({"limit": 200, "before": page[-1]["started_at"]})
        page = project.ask(f"calls?{query}").json()["calls"]


def _audio(callers: Load, agents: Load) -> Quality:
    ours, theirs = callers.stop(), agents.stop()
    # Of the bystanders only: the first to have called, and to have been called.
    total = judge_all({stream: sent for stream, sent in ours.sent.items() if stream < BYSTANDERS}, theirs.heard)
    total.add(
        judge_all({stream: sent for stream, sent in theirs.sent.items() if stream < 100 + BYSTANDERS}, ours.heard)
    )
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
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
