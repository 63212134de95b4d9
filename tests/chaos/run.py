"""A run: the cluster, and the measurement of one phase, in which a fault happens under load."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.harness.waiting import wait_for

from .callers import Caller, Callers
from .cluster import CLIENT, PROJECTS, Cluster, Node
from .counts import Allowed, Counts, Records, count, count_events, read_records
from .detours import count_detours
from .http_clients import EventReader

EVENT_SECONDS = 20.0  # for the last event to reach its reader

Report = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """The load and the extent of a run.

    Between two messages of a bot in a chat are `chat_pause_seconds`, on average. `pace` is a factor for
    the time that the load goes on before and after each fault. `lease_seconds` replaces those of all phases.
    """

    calls_per_second: float = 20.0
    chats: int = 100
    chat_pause_seconds: float = 3.0
    kills: int = 100
    stop_seconds: float = 60.0
    pace: float = 1.0
    lease_seconds: float | None = None
    seed: int = 1


@dataclass
class Run:
    """The surroundings of a phase. `plan` says how often it kills a node, and how long it waits."""

    cluster: Cluster
    readers: Sequence[EventReader]
    chance: random.Random
    report: Report
    plan: Plan
    counts: dict[str, Counts] = field(default_factory=dict)
    reported_faults: int = 0  # of chats
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def under_load(self, phase: str, allowed: Allowed) -> Iterator[Counts]:
        """Place calls during the block; then wait until the cluster is whole, and count what became of them."""
        counts = Counts()
        callers = Callers(self.cluster.folder / phase, phase, self.cluster.proxy.address, self.plan.calls_per_second)
        with callers:
            yield counts
            callers.stop_placing()
            self.cluster.wait_until_whole()
            seen = callers.seen()
        self.count(phase, seen, allowed).facts.update(counts.facts)

    def count(self, phase: str, seen: Sequence[Caller], allowed: Allowed) -> Counts:
        """Count what became of calls that are over."""
        signals = Counter(each["contact_id"] for each in self.cluster.cxone.all_signals())
        records = read_records(self.cluster.redis.primary, f"{CLIENT}:*")
        counts = self.counts[phase] = count(seen, signals, records, allowed)
        counts.facts["longest INVITE to 200"] = (
            f"{max((c.answer_seconds for c in seen if c.is_answered), default=0):.2f} s"
        )
        proxy_log = self.cluster.proxy.program.log.read_text(errors="replace")
        count_detours(counts, seen, proxy_log, self.cluster.was_up)
        with suppress(TimeoutError):  # what is missing is counted
            wait_for(lambda: self._has_all_events(records), "the last events", EVENT_SECONDS)
        count_events(counts, seen, records, self._events())
        self.tell(f"{phase}: {counts.answered} conversations, {len(counts.breaches)} rules broken")
        for breach in (*counts.breaches, *counts.late):
            self.tell(f"{phase}: {breach}")
        return counts

    def count_chats(self, phase: str) -> None:
        """Report the chats so far, and the faults of those that ended in a phase."""
        chats = self.cluster.chats
        chats.survived[phase] += 1
        self.tell(f"{phase}: chats: {chats.seen}")
        new = chats.faults[self.reported_faults :]
        for fault in new:
            self.tell(f"{phase}: chats: {fault}")
        self.reported_faults += len(new)

    def tell(self, text: str) -> None:
        """Report progress."""
        self.report(f"{time.monotonic() - self.began:6.0f} s  {text}\n")

    def go_on_for(self, least: float, most: float | None = None) -> None:
        """Let the load go on for some seconds. The moment itself is the test: there is no event to wait for."""
        time.sleep(self.plan.pace * self.chance.uniform(least, least if most is None else most))

    def any_node(self) -> Node:
        """Return a node that runs."""
        return self.chance.choice([node for node in self.cluster.nodes if node.is_running])

    def _events(self) -> Counter[tuple[str, str]]:
        return sum((reader.seen for reader in self.readers), Counter())

    def _has_all_events(self, records: Records) -> bool:
        seen = self._events()
        return all((each.call_id, "call.ended") in seen for found in records.values() for each in found)


def event_readers(cluster: Cluster) -> list[EventReader]:
    """Return a reader for each project that is called."""
    return [EventReader(cluster.chats.address, CLIENT, project) for project in PROJECTS]
