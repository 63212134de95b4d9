"""`make bench-fleet`: what a Redis that many nodes share has to do, for fleets of up to 1,000 nodes (docs/cluster.md).

One real bridge shows what it sends to Redis for a handoff. Then many nodes use a real Redis, each with connections of
its own: it renews its lease as a bridge does (`Cluster`), sends its share of all calls, and follows the stream of their
events if it has readers.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import uvloop

from sipbridge.cluster import Cluster, NodeSettings
from sipbridge.cluster.lease import LeaseState
from sipbridge.config.redis_url import RedisUrl
from sipbridge.store.redis import keys
from sipbridge.store.redis.scripts import LOAD, RENEW_LEASE, WRITE_OPEN_CALLS
from sipbridge.store.redis.streams import BLOCK_SECONDS, ENTRIES
from tests.harness.programs.bridge import bridge
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, client_settings, on_redis, project_settings, token
from tests.harness.usage import allow_many_sockets
from tests.harness.waiting import wait_for

from .fleet_report import Level, Report, print_report
from .handoff_load import HandoffLoad, no_collector
from .load import Quantiles
from .redis_traffic import Pattern, Recording, Request, encode, recorded

NUMBER = "+19995550001"
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080"}
NODE = "recorded-node"
CONTACT = "recorded-contact"
SECRET = "shared-by-all-nodes"
CALLS = 4
RENEWAL_SECONDS = 3.0
LOOKS_FOR_OWNER = 200
EPOCH_AT = 7  # in the request of a renewal
# In the request that writes open calls.
WRITE_NUMBER_AT, CHANGED_AT = 6, 9
WRITE_NUMBER = b"WRITE-NUMBER"
LEASE_SECONDS = 5 * RENEWAL_SECONDS
SETTLING_SECONDS = RENEWAL_SECONDS + 1
END_BYTES = 512
LAST_ENTRY = re.compile(rb".*\$\d+\r\n(\d+-\d+)\r\n", re.DOTALL)  # its id
LONGEST_SECONDS = 10.0  # for a response: then the node counts the round trip as failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the file."""
    counts = lambda text: [int(count) for count in text.split(",")]  # noqa: E731 (argparse wants a callable)
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--nodes", type=counts, default=[10, 100, 300, 1000], metavar="N,N", help="sizes of the fleet")
    parser.add_argument("--calls", type=int, default=200, help="handoffs per second of all nodes together")
    parser.add_argument(
        "--readers", choices=("none", "all", "both"), default="both", help="nodes with readers of events"
    )
    parser.add_argument("--seconds", type=int, default=15, help="duration at each size")
    parser.add_argument("--output", type=Path, default=Path("build/bench-fleet.json"), help="the file for all figures")
    options = parser.parse_args(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-fleet-") as name:
        report = measure(Path(name), options.nodes, _READERS[options.readers], options.calls, options.seconds)
    print_report(report)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(report), indent=2) + "\n")
    sys.stdout.write(f"\nAll figures: {options.output}\n")
    return 0


_READERS = {"none": (False,), "all": (True,), "both": (False, True)}


def measure(folder: Path, sizes: Sequence[int], readers: Sequence[bool], calls_per_second: int, seconds: int) -> Report:
    """Record a bridge, and simulate a fleet of each size, without and with readers."""
    traffic = record(folder)
    report = Report(len(traffic.call.requests), traffic.call.size)
    for size, has_readers in itertools.product(sizes, readers):
        sys.stderr.write(f"{size} nodes, {'each with' if has_readers else 'without'} readers …\n")
        with redis_server(folder) as redis:
            simulation = Simulation(redis, traffic, size, calls_per_second, has_readers=has_readers)
            with no_collector():
                report.levels.append(uvloop.run(simulation.run(seconds)))
    return report


# ------------------------------------------------------------ the real bridge


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of a bridge for one handoff."""

    call: Pattern
    epoch: bytes
    call_id: bytes


def record(folder: Path) -> Traffic:
    """Record a bridge that renews its lease, and hands calls off."""
    with simulator(folder) as cxone, redis_server(folder) as redis, recorded(redis.port) as (port, recording):
        client = client_settings(NUMBER, cxone.url, {"handoff": project_settings("handoff", REFER)})
        settings = bridge_settings(folder, {"acme": client})
        shared = settings | on_redis(f"redis://127.0.0.1:{port}/0", NODE)
        shared["http"] = settings["http"] | shared["http"]
        with bridge(shared, folder, name="recorded") as running:
            load = HandoffLoad(running.sip, NUMBER, token("handoff"), CONTACT, 2, CALLS)
            if load.run(running.program.pid).failed:
                raise RuntimeError("the recorded bridge did not complete its calls")
            running.wait_until_idle()
            records = redis.run("ZRANGE", "sipbridge:calls:acme:handoff", 0, -1)
            call_id = str(records[-1]).encode()
            wait_for(lambda: _removes(recording.about(call_id)[-1], call_id), "the end of the last call in Redis")
            return _traffic(recording, call_id)


def _traffic(recording: Recording, call_id: bytes) -> Traffic:
    renewal = next(request for request in reversed(recording.requests) if _is_renewal(request))
    epoch = renewal[EPOCH_AT]
    # The time to live of the open calls names no call.
    call = [request for request in recording.about(call_id, b"sipbridge:open:" + epoch) if not _is_renewal(request)]
    contact = f"{CONTACT}-{CALLS - 1}".encode()
    requests = tuple(_numbered_later(request) for request in call)
    return Traffic(Pattern(requests, (call_id, epoch, WRITE_NUMBER, contact)), epoch, call_id)


def _is_renewal(request: Request) -> bool:
    return request[:2] == (b"EVALSHA", RENEW_LEASE.sha.encode())


def _writes_open_calls(request: Request) -> bool:
    return request[:2] == (b"EVALSHA", WRITE_OPEN_CALLS.sha.encode())


def _removes(request: Request, call_id: bytes) -> bool:
    """Return True for the write that removes this call from the open ones."""
    return _writes_open_calls(request) and call_id in request[CHANGED_AT + 1 + 2 * int(request[CHANGED_AT]) :]


def _numbered_later(request: Request) -> Request:
    """Return the request with a variable as the number of a write: Redis refuses a number that is not the latest."""
    if not _writes_open_calls(request):
        return request
    return (*request[:WRITE_NUMBER_AT], WRITE_NUMBER, *request[WRITE_NUMBER_AT + 1 :])


# ------------------------------------------------------------ the simulated nodes


class Connection(asyncio.Protocol):
    """A connection that knows when all responses have come, and reads none of them: a fleet's lists are long."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self.end = b""  # of what has come
        self._mark = b""
        self._marks = 0
        self._done: asyncio.Future[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[Connection]:
        """Connect to a Redis on this machine."""
        transport, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        try:
            yield connection
        finally:
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has another base

    def data_received(self, data: bytes) -> None:
        """Look for the mark at the end."""
        self.end = (self.end + data[-END_BYTES:])[-END_BYTES:]
        if self._done and not self._done.done() and self.end.endswith(self._mark):
            self._done.set_result(None)

    async def run(self, requests: Sequence[Request], seconds: float = LONGEST_SECONDS) -> float:
        """Send requests together; return the milliseconds until all have their response. Raises `TimeoutError`."""
        self._marks += 1
        mark = b"mark-%d" % self._marks
        self._mark = mark + b"\r\n"
        self._done = asyncio.get_running_loop().create_future()
        if self._transport is None:
            raise RuntimeError("not connected")
        began = time.perf_counter()
        self._transport.write(b"".join(map(encode, [*requests, (b"ECHO", mark)])))
        async with asyncio.timeout(seconds):
            await self._done
        return (time.perf_counter() - began) * 1000


@dataclass(slots=True)
class _Counts:
    renewals_ms: list[float] = field(default_factory=list)
    calls_ms: list[float] = field(default_factory=list)  # of each round trip of a call
    wakes: int = 0  # of tails
    late: int = 0  # renewals that began later than half a pause after their time
    failed: int = 0


class _IdleBridge:
    """The controls of a bridge without calls: the simulation sends those of its nodes itself."""

    calls = 0
    chats = 0
    draining = False

    def end_taken_over(self, _: Container[str]) -> list[str]:
        """No call ends."""
        return []

    def withhold_readiness(self, reason: str | None) -> None:
        """No call comes in."""


class Simulation:
    """A fleet of this size on a Redis. If it has readers, each node follows the stream of all calls."""

    def __init__(
        self, redis: RedisServer, traffic: Traffic, size: int, calls_per_second: int, *, has_readers: bool
    ) -> None:
        self._redis = redis
        self._traffic = traffic
        self._size = size
        self._calls_per_second = calls_per_second
        self._has_readers = has_readers
        self._counts = _Counts()

    async def run(self, seconds: int) -> Level:
        """Let all nodes join, then measure for these seconds."""
        async with Connection.open(self._redis.port) as loading:
            await loading.run([tuple(str(part).encode() for part in command) for command in LOAD])
        clusters = [await self._joined(number) for number in range(self._size)]
        for each in clusters:  # now each reads the list of all
            await each.turn(_IdleBridge())
        began = asyncio.get_running_loop().time()
        nodes = [asyncio.create_task(self._node(number, each, began)) for number, each in enumerate(clusters)]
        await asyncio.sleep(SETTLING_SECONDS)
        self._counts, before, began_at = _Counts(), self._used(), time.perf_counter()
        await asyncio.sleep(seconds)
        after, took = self._used(), time.perf_counter() - began_at
        counts = self._counts
        owner_ms = [await _owner_ms(clusters[0]) for _ in range(LOOKS_FOR_OWNER)]
        for node in nodes:
            node.cancel()
        await asyncio.gather(*nodes, return_exceptions=True)
        for each in clusters:
            await each.close()
        rate = {name: (after[name] - before[name]) / took for name in after}
        return Level(
            nodes=self._size,
            readers=self._size if self._has_readers else 0,
            calls_per_second=len(counts.calls_ms) / len(self._traffic.call.requests) / took,
            renewals_per_second=len(counts.renewals_ms) / took,
            wakes_per_second=counts.wakes / took,
            late=counts.late,
            failed=counts.failed,
            renewal=Quantiles.of(counts.renewals_ms),
            command=Quantiles.of(counts.calls_ms),
            owner=Quantiles.of(owner_ms),
            redis_percent_of_a_core=100 * (rate["used_cpu_user"] + rate["used_cpu_sys"]),
            commands_per_second=rate["total_commands_processed"],
            megabytes_in_per_second=rate["total_net_input_bytes"] / 1e6,
            megabytes_out_per_second=rate["total_net_output_bytes"] / 1e6,
            memory_mb=self._redis.info("memory")["used_memory"] / 1e6,
        )

    def _used(self) -> dict[str, float]:
        figures = {**self._redis.info("cpu"), **self._redis.info("stats")}
        names = "used_cpu_user", "used_cpu_sys", "total_commands_processed", "total_net_input_bytes"
        return {name: float(figures[name]) for name in (*names, "total_net_output_bytes")}

    async def _joined(self, number: int) -> Cluster:
        cluster = Cluster(RedisUrl.parse(self._redis.url), NodeSettings(f"node-{number}", LEASE_SECONDS, SECRET, 1000))
        no_http: Any = None  # no node probes another one here: none is started
        await cluster.join(f"http://node-{number}:8080", no_http)
        return cluster

    async def _node(self, number: int, cluster: Cluster, began: float) -> None:
        port = self._redis.port
        async with Connection.open(port) as calls, Connection.open(port) as events, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew(cluster, number, began))
            tasks.create_task(self._call(calls, number, cluster.lease.epoch.encode(), began))
            if self._has_readers:
                tasks.create_task(self._read(events))

    async def _renew(self, cluster: Cluster, number: int, began: float) -> None:
        """Renew the lease every 3 s; the nodes' times are spread evenly."""
        loop, bridge_ = asyncio.get_running_loop(), _IdleBridge()
        due = began + RENEWAL_SECONDS * number / self._size
        while True:
            await asyncio.sleep(due - loop.time())
            self._counts.late += loop.time() - due > RENEWAL_SECONDS / 2
            began_at = time.perf_counter()
            await cluster.turn(bridge_)
            self._counts.renewals_ms.append((time.perf_counter() - began_at) * 1000)
            self._counts.failed += cluster.lease.state is not LeaseState.HELD
            due += RENEWAL_SECONDS

    async def _read(self, connection: Connection) -> None:
        """Follow the stream of the calls as a `Tail` does."""
        last = b"$"
        key = keys.call_keys("acme", "handoff").events.encode()
        block = b"%d" % (BLOCK_SECONDS * 1000)
        while True:
            request = (b"XREAD", b"COUNT", b"%d" % ENTRIES, b"BLOCK", block, b"STREAMS", key, last)
            await connection.run([request], BLOCK_SECONDS + LONGEST_SECONDS)
            if found := LAST_ENTRY.match(connection.end):
                last = found[1]
                self._counts.wakes += 1

    async def _call(self, connection: Connection, number: int, epoch: bytes, began: float) -> None:
        """Send the requests of a call, one after another, at this node's share of the rate."""
        loop = asyncio.get_running_loop()
        pause = self._size / self._calls_per_second
        due = began + pause * number / self._size
        for write_number in itertools.count(1):
            await asyncio.sleep(due - loop.time())
            call = uuid.uuid4().hex.encode()
            known = {self._traffic.call_id: call, self._traffic.epoch: epoch, WRITE_NUMBER: b"%d" % write_number}
            contact = self._traffic.call.variables[-1]
            for request in self._traffic.call.fill(known | {contact: b"contact-" + call}):
                try:
                    self._counts.calls_ms.append(await connection.run([request]))
                except TimeoutError:
                    self._counts.failed += 1
            due += pause


async def _owner_ms(cluster: Cluster) -> float:
    """Look for the node that carries a call, as a node that gets a command does; return the milliseconds."""
    began = time.perf_counter()
    await cluster.owners.owner_of_call(uuid.uuid4().hex)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
