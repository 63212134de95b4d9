"""`make bench-cluster`: what several nodes cost a request and a caller (docs/cluster.md).

Three real nodes on one Redis, behind Kamailio, with leases of the default time:

1. Commands about a call, sent to the node that carries it, and to another one that passes them on.
2. One node drains; new calls through Kamailio go to it first.
3. Another node is killed with calls in progress; new calls go to it first, and the third node takes its calls over.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.kamailio import NODE_ADDRESS, Kamailio, kamailio
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import bridge_settings, client_settings, key, on_redis, project_settings, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.usage import allow_many_sockets
from tests.harness.waiting import wait_for

from .cluster_report import Command, Report, print_report
from .load import Quantiles

NAMES = ("node-1", "node-2", "node-3")
NUMBER = "+19995550001"
PROJECT = "lasting"
CLIP_SECONDS = 600
REQUESTS = 200  # of each kind, at each node
ENDED_CALLS = 100  # by each command that ends one, half of them at each node
CALLS_TAKEN_OVER = 100
CALLS_WHILE_DRAINING = 30
CALLS_TO_DEAD = 6
AT_ONCE = 10
ANSWERED = 200
TAKEOVER_SECONDS = 120
PLAY_OUT_SECONDS = 30  # of the clip, which a handoff and a hangup wait for
TURN = {"role": "agent", "text": "Good morning, how can I help you?", "at": "2026-03-01T12:00:00Z"}
HANDOFF = {"destination": "care", "reason": "asked_for_human"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures, write the file; return 0 if all limits were met."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each kind, at each node")
    parser.add_argument("--calls", type=int, default=CALLS_TAKEN_OVER, help="calls of the node that is killed")
    parser.add_argument("--lease", type=float, default=15.0, help="lease_seconds")
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench-cluster.json"), help="the file for all figures"
    )
    options = parser.parse_args(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-cluster-") as name, ExitStack() as stack:
        cluster = Cluster(Path(name), stack, options.lease)
        report = measure(cluster, options.requests, options.calls)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    all_met = print_report(report)
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0 if all_met else 1


def measure(cluster: Cluster, requests: int, calls: int) -> Report:
    """Measure everything: the nodes are not all there after that."""
    report = Report()
    owner, other, draining = cluster.nodes
    sys.stderr.write("commands …\n")
    report.commands = commands(owner, other, requests)
    sys.stderr.write("a node that drains …\n")
    report.draining_ms = cluster.calls_while_draining(draining)
    sys.stderr.write("a node that is killed …\n")
    report.calls_taken_over = calls
    cluster.kill_with_calls(owner, other, calls, report)
    return report


class Cluster:
    """Three nodes, and what they share."""

    def __init__(self, folder: Path, stack: ExitStack, lease_seconds: float) -> None:
        self._folder = folder
        self._stack = stack
        self._clip = folder / "clip.wav"
        write_silence(self._clip, CLIP_SECONDS)
        self.cxone: Simulator = stack.enter_context(simulator(folder))
        self.redis: RedisServer = stack.enter_context(redis_server(folder))
        self.nodes = [self._node(name, lease_seconds) for name in NAMES]
        uris = [f"sip:{node.sip}" for node in self.nodes]
        # The proxy learns of a node's state from its calls alone.
        self.proxy: Kamailio = stack.enter_context(kamailio(folder / "kamailio", uris, defines={"PROBE_SECONDS": "60"}))
        wait_for(lambda: self.redis.run("HLEN", "sipbridge:nodes") == len(NAMES), "all nodes in Redis")
        self.proxy.wait_for_nodes(*uris)

    def _node(self, name: str, lease_seconds: float) -> Bridge:
        folder = self._folder / name
        folder.mkdir()
        agent = {"type": "prompt", "audio": str(self._clip)}
        project = project_settings(PROJECT, agent=agent, media_timeout_seconds=3600)
        clients = {"acme": client_settings(NUMBER, self.cxone.url, {PROJECT: project})}
        sip = {
            "listen": [f"udp://{NODE_ADDRESS}:0", f"tcp://{NODE_ADDRESS}:0"],
            "max_calls": 1000,
        }
        settings = bridge_settings(folder, clients, sip=sip)
        shared = on_redis(self.redis.url, name, lease_seconds=lease_seconds)
        shared["store"]["journal"] = str(folder / "journal")
        settings |= {**shared, "http": settings["http"] | shared["http"], "drain_seconds": 600}
        return self._stack.enter_context(bridge(settings, folder))

    def calls_while_draining(self, node: Bridge) -> Quantiles:
        """Drain a node that has a call; return the milliseconds of new calls that went to it first."""
        log = self.proxy.program.log
        with placed(node.sip, 1, "held"):
            node.program.terminate()
            node.wait_for_metric(1, "sipbridge_draining")
            before = log.read_text().count("next node")
            answered = [self._call(f"draining-{number}") for number in range(CALLS_WHILE_DRAINING)]
            rejected = log.read_text().count("next node") - before
        node.program.terminate()  # the second signal ends it
        self._leave_out(node)
        if not rejected:
            raise RuntimeError("no call went to the draining node")
        return Quantiles.of(sorted(answered)[-rejected:])

    def _leave_out(self, node: Bridge) -> None:
        """Take a node from the proxy's list, so that no call goes to it any more."""
        uris = [f"sip:{each.sip}" for each in self.nodes if each is not node]
        self.proxy.set_nodes(uris)

        def is_done() -> bool:
            self.proxy.run("dispatcher.reload")  # at most once in 5 s
            return sorted(self.proxy.active_nodes()) == sorted(uris)

        wait_for(is_done, "the reload of the proxy")

    def kill_with_calls(self, dead: Bridge, survivor: Bridge, calls: int, report: Report) -> None:
        """Kill a node in conversations, call through the proxy, and wait for the takeover."""
        with placed(dead.sip, calls, "lost"):
            before = survivor.metrics()
            killed_at = time.monotonic()
            dead.program.kill()
            with ThreadPoolExecutor(CALLS_TO_DEAD) as pool:
                names = [f"dead-{number}" for number in range(CALLS_TO_DEAD)]
                report.dead_ms = max(pool.map(self._call, names))

            def is_done() -> bool:
                return survivor.metrics().since(before, "sipbridge_node_takeovers_total") == 1

            wait_for(is_done, "the takeover", TAKEOVER_SECONDS)
            report.takeover_seconds = time.monotonic() - killed_at
        contacts = [each["contact_id"] for each in self.cxone.all_signals() if each["contact_id"].startswith("lost-")]
        report.signalled, report.signalled_twice = len(set(contacts)), len(contacts) - len(set(contacts))

    def _call(self, contact: str) -> float:
        """Place a call through the proxy and end it; return the milliseconds to its 200."""
        with new_call(self.proxy.address, contact) as call:
            began = time.perf_counter()
            if call.place().status != ANSWERED:
                raise RuntimeError(f"{contact} was rejected with {call.status}")
            took = time.perf_counter() - began
            call.end()
        return took * 1000


def new_call(address: str, contact: str) -> RawCall:
    """Return a call to the project that is not placed yet."""
    headers = (
        f"From: <sip:raw@127.0.0.1>;tag=1\r\nX-Auth-Token: {token(PROJECT)}\r\n"
        f"X-InContact-ContactId: {contact}\r\nX-InContact-MasterId: {contact}\r\n"
    )
    return RawCall(address, NUMBER.encode(), headers.encode())


@contextmanager
def placed(address: str, count: int, prefix: str) -> Iterator[list[RawCall]]:
    """Have calls in conversation at a node, with contacts of this prefix."""
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [stack.enter_context(new_call(address, f"{prefix}-{number}")) for number in range(count)]
        statuses = set(pool.map(lambda call: call.place().status, calls))
        if statuses != {ANSWERED}:
            raise RuntimeError(f"calls at {address} got {statuses}")
        yield calls


# ------------------------------------------------------------ commands


class Requester:
    """A client of one node's API, on one connection."""

    def __init__(self, node: Bridge) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(node.http).netloc, timeout=15)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def milliseconds(self, method: str, path: str, body: object, expected: int) -> float:
        """Send a request about the project; return the time to its response. Raises `RuntimeError`."""
        text = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json", "x-api-key": key(PROJECT)}
        began = time.perf_counter()
        self._connection.request(method, f"/v1/acme/{PROJECT}/{path}", text, headers)
        response = self._connection.getresponse()
        content = response.read()
        took = time.perf_counter() - began
        if response.status != expected:
            raise RuntimeError(f"{method} {path} got {response.status}: {content!r}")
        return took * 1000


def commands(owner: Bridge, other: Bridge, requests: int) -> list[Command]:
    """Measure each command at the owner of the calls, and at another node that passes it on, in turn."""
    ending = min(ENDED_CALLS, requests)
    with placed(owner.sip, 1 + 2 * ending, "command") as calls:
        first, *others = [_call_id(call) for call in calls]
        lasting = [first] * (2 * requests)
        kinds: list[tuple[str, str, str, object, int, list[str]]] = [
            ("GET detail", "GET", "calls/{}", None, 200, lasting),
            ("POST turns", "POST", "calls/{}/turns", TURN, 202, lasting),
            ("POST hangup", "POST", "calls/{}/hangup", {}, 202, others[:ending]),
            ("POST handoff", "POST", "calls/{}/handoff", HANDOFF, 202, others[ending:]),
        ]
        results = []
        with closing(Requester(owner)) as at_owner, closing(Requester(other)) as at_other:
            for name, method, path, body, expected, call_ids in kinds:
                times: dict[Requester, list[float]] = {at_owner: [], at_other: []}
                for at, call_id in zip(itertools.cycle(times), call_ids, strict=False):
                    times[at].append(at.milliseconds(method, path.format(call_id), body, expected))
                results.append(Command(name, *map(Quantiles.of, times.values())))
        calls[0].end()
        for call in calls[1:]:
            wait_for(lambda call=call: _answers_bye(call), "the end of a call", PLAY_OUT_SECONDS)  # type: ignore[misc]
    owner.wait_until_idle(60)
    return results


def _answers_bye(call: RawCall) -> bool:
    with suppress(TimeoutError):
        call.answer_bye()
        return True
    return False


def _call_id(call: RawCall) -> str:
    lines = call.answer.decode().split("\r\n")
    return next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("x-sipbridge-call-id:"))


if __name__ == "__main__":
    sys.exit(main())
