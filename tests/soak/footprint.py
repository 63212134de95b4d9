"""The resources that a bridge holds, which must return to the same level after the calls."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.programs.bridge import Bridge
from tests.harness.usage import rss_mb

_REFERRED_POOLS = 20


@dataclass(frozen=True, slots=True)
class Footprint:
    """Calls and tasks from the bridge's metrics, the rest from the kernel (proc(5)); memory in megabytes (10^6 bytes).

    `pooled` are connections to CXone and to the webhook, kept for the next request; they are closed after 15 to 30 s
    without one. `pools` are PJSIP's memory pools; a REFER's subscription may keep one for ten minutes.
    """

    calls: int
    chats: int
    tasks: int
    pools: int
    sockets: int  # but for those
    pooled: int
    files: int
    threads: int
    rss_mb: float

    @classmethod
    def of(cls, bridge: Bridge, *servers: str) -> Footprint:
        """Measure now. `servers` are the URLs to which connections are pooled."""
        pid = bridge.program.pid
        # Before the request for the metrics, which is a connection itself.
        links = _links(pid)
        metrics = bridge.metrics()
        sockets = {link for link in links if link.startswith("socket:")}
        pooled = sockets & _connections({urlsplit(server).port for server in servers})
        return cls(
            calls=round(metrics.value("sipbridge_calls_active")),
            chats=round(metrics.value("sipbridge_chats_active")),
            tasks=round(metrics.value("sipbridge_event_loop_tasks")),
            pools=round(metrics.value("sipbridge_pjsip_pools_in_use")),
            sockets=len(sockets - pooled),
            pooled=len(pooled),
            files=len(links) - len(sockets),
            threads=sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
            rss_mb=rss_mb(pid),
        )

    def __str__(self) -> str:
        counts = f"{self.calls} calls, {self.chats} chats, {self.tasks} tasks, {self.sockets} sockets and {self.pooled}"
        return f"{counts} pooled, {self.files} files, {self.threads} threads, {self.pools} pools, {self.rss_mb:.1f} MB"

    def is_within(self, earlier: Footprint, *, pool: bool = True) -> bool:
        """True if nothing is held that was not held earlier, except memory."""
        return (
            self.calls <= earlier.calls
            and self.chats <= earlier.chats
            and self.tasks <= earlier.tasks
            and self.pools <= earlier.pools + _REFERRED_POOLS
            and self.sockets <= earlier.sockets
            and (self.pooled <= earlier.pooled or not pool)
            and self.files <= earlier.files
            and self.threads <= earlier.threads
        )


def _links(pid: int) -> list[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:
            continue  # it was closed meanwhile
    return links


def _connections(ports: Collection[int | None]) -> set[str]:
    """The sockets connected to TCP ports, as the links of open files name them (proc(5), /proc/net/tcp)."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {f"socket:[{fields[9]}]" for fields in lines if int(fields[2].rpartition(":")[2], 16) in ports}
