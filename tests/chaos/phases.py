"""The phases of a run: each is one kind of fault, under load. Each takes its run, and counts under its own name."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.harness.waiting import wait_for

from .agent import HELD
from .callers import Callers
from .cluster import SHORT_LEASE_SECONDS
from .counts import BEGUN, CUT_OFF, DIED, Allowed, Breach
from .run import Run

LEASE_SECONDS = 15.0  # the default
HELD_CALLS = 100
TAKEOVER_SECONDS = 45.0  # at most, from the SIGKILL until the last of these calls has its Signal
OUTAGE_SECONDS = 10.0

NOTHING = Allowed()
A_DEATH = Allowed(no_signal=frozenset({BEGUN, CUT_OFF}), no_answer=frozenset({DIED}))
A_CUT = Allowed(no_signal=frozenset({CUT_OFF}))


def kills(run: Run) -> None:
    """SIGKILL of random nodes: one that comes back at once, one that is taken over, or two at a time."""
    cluster = run.cluster
    with run.under_load("kills", A_DEATH):
        for number in range(run.plan.kills):
            run.go_on_for(0.2, 2.0)
            node = run.any_node()
            cluster.kill(node)
            how = ("restarted", "taken over", "with its rescuer")[number % 3]
            if how == "taken over":
                cluster.until(lambda: cluster.registered() < len(cluster.nodes), "the takeover")
            elif how == "with its rescuer":
                run.go_on_for(0.0, 3 * SHORT_LEASE_SECONDS)  # the takeover begins after two lease times
                other = run.any_node()
                cluster.kill(other)
                cluster.start(other)
            cluster.start(node)
            if number % 5 == 4:
                run.tell(f"kills: {number + 1} of {run.plan.kills}")


def stops(run: Run) -> None:
    """SIGSTOP of a node until others have its calls, then SIGCONT: it wakes up, and must not signal again."""
    cluster = run.cluster
    with run.under_load("stops", A_DEATH):
        run.go_on_for(5)
        node = run.any_node()
        cluster.hide(node)
        node.signal(signal.SIGSTOP)
        time.sleep(run.plan.stop_seconds)
        node.signal(signal.SIGCONT)
        cluster.until(node.is_ready, "the node that wakes up")
        cluster.show(node)
        run.go_on_for(5)


def takeover(run: Run) -> None:
    """SIGKILL of a node with many conversations: the time until the last contact has its Signal."""
    cluster = run.cluster
    node = run.any_node()
    address = node.uri.removeprefix("sip:")
    with Callers(cluster.folder / "held", HELD, address, HELD_CALLS, projects=["release"], calls=HELD_CALLS) as callers:
        cluster.until(lambda: sum(each.is_answered for each in callers.seen()) == HELD_CALLS, "the conversations")
        cluster.kill(node)
        killed_at = time.monotonic()
        contacts = {each.contact for each in callers.seen()}
        wait_for(
            lambda: contacts <= {each["contact_id"] for each in cluster.cxone.all_signals()},
            "all Signals",
            2 * TAKEOVER_SECONDS,
        )
        seconds = time.monotonic() - killed_at
        cluster.start(node)
        cluster.wait_until_whole()
        counts = run.count("takeover", callers.seen(), A_DEATH)
    counts.facts[f"SIGKILL to the last of {HELD_CALLS} Signals"] = f"{seconds:.1f} s"
    if seconds > TAKEOVER_SECONDS:
        counts.late.append(Breach(f"takeover of {HELD_CALLS} calls took {seconds:.1f} s", [node.name]))


def failover(run: Run) -> None:
    """SIGKILL of the primary of Redis: its replica takes its place, and it comes back as the replica."""
    redis = run.cluster.redis
    with run.under_load("failover", A_CUT):
        run.go_on_for(5)
        primary = redis.primary
        primary.kill()
        run.cluster.until(lambda: redis.primary is not primary, "the failover")
        run.go_on_for(5)
        primary.start()
        redis.wait_for_replica()
        run.go_on_for(2)


def outage(run: Run) -> None:
    """SIGKILL of all of Redis, which comes back with its data."""
    with run.under_load("outage", A_CUT):
        run.go_on_for(5)
        for server in run.cluster.redis.servers:
            server.kill()
        run.go_on_for(OUTAGE_SECONDS)
        for server in run.cluster.redis.servers:
            server.start()
        run.go_on_for(5)


def partition_of_one(run: Run) -> None:
    """One node does not reach Redis, and the others see it: its calls go on."""
    cluster = run.cluster
    with run.under_load("partition-of-one", A_CUT):
        run.go_on_for(5)
        node = run.any_node()
        cluster.links.cut(node.address, *cluster.redis_ports)
        run.go_on_for(OUTAGE_SECONDS)
        cluster.links.mend(node.address, *cluster.redis_ports)
        run.go_on_for(5)


def partition_of_all(run: Run) -> None:
    """No node reaches Redis, and they see each other: all calls go on."""
    cluster = run.cluster
    with run.under_load("partition-of-all", A_CUT):
        run.go_on_for(5)
        for node in cluster.nodes:
            cluster.links.cut(node.address, *cluster.redis_ports)
        run.go_on_for(OUTAGE_SECONDS)
        for node in cluster.nodes:
            cluster.links.mend(node.address, *cluster.redis_ports)
        run.go_on_for(5)


def isolation(run: Run) -> None:
    """One node reaches neither Redis nor the others it: it sends BYE instead of Signals, and is taken over."""
    cluster = run.cluster
    with run.under_load("isolation", A_CUT):
        run.go_on_for(5)
        node = run.any_node()
        cluster.hide(node)
        cluster.links.cut(node.address, *cluster.redis_ports, node.http_port)
        cluster.until(lambda: cluster.registered() < len(cluster.nodes), "the takeover")
        run.go_on_for(5)
        cluster.links.mend(node.address, *cluster.redis_ports, node.http_port)
        cluster.until(node.is_ready, "the node that is back")
        cluster.show(node)
        run.go_on_for(5)


def clock(run: Run) -> None:
    """The clock of one node is set an hour ahead, and back."""
    with run.under_load("clock", NOTHING):
        for hours in (1, 0):
            run.go_on_for(5)
            run.cluster.clock.set_to(hours)
        run.go_on_for(5)


def rolling(run: Run) -> None:
    """All nodes are restarted, one after the other: no call fails."""
    cluster = run.cluster
    with run.under_load("rolling", NOTHING):
        for node in cluster.nodes:
            run.go_on_for(2)
            cluster.drain(node)
            cluster.start(node)
            cluster.proxy.wait_for_nodes(*(each.uri for each in cluster.nodes), seconds=30)
        run.go_on_for(2)


@dataclass(frozen=True)
class Phase:
    """A kind of fault, and the leases of the nodes that it meets."""

    inflict: Callable[[Run], None]
    lease_seconds: float = SHORT_LEASE_SECONDS


PHASES: dict[str, Phase] = {
    "outage": Phase(outage),
    "failover": Phase(failover),
    "partition-of-one": Phase(partition_of_one),
    "partition-of-all": Phase(partition_of_all),
    "isolation": Phase(isolation),
    "clock": Phase(clock),
    "rolling": Phase(rolling),
    "kills": Phase(kills),
    "takeover": Phase(takeover, LEASE_SECONDS),
    "stops": Phase(stops, LEASE_SECONDS),
}
