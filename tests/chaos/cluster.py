"""Three nodes behind Kamailio, on a Redis with a replica and a Sentinel, and what a fault does to each part."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.harness.links import Links
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, running_bridge
from tests.harness.programs.kamailio import ADDRESS, NODES, TRUNK, Kamailio, kamailio
from tests.harness.programs.program import ProgramError
from tests.harness.programs.redis_service import RedisService, redis_service
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.wall_clock import WallClock
from tests.harness.settings import Settings, bridge_settings, client_settings, on_redis, project_settings
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch

from .agent import HandoffAgent
from .http_clients import Chats

# The address of a node: of its SIP, and of its links to Redis and from the other nodes.
NODE_ADDRESSES = ("127.0.0.4", "127.0.0.5", "127.0.0.6")
NUMBER = "+19995550001"
CLIENT = "acme"
REFER = {"method": "refer", "uri": "sip:+15550199@127.0.0.1:5080"}
PROJECTS: dict[str, dict[str, Any]] = {"release": {}, "refer": REFER}  # and the destinations of their handoffs
CHATS = "support"  # the project of the chats
MAX_CALLS = 400
DRAIN_SECONDS = 10  # longer than a conversation: no call is cut short
WHOLE_SECONDS = 90.0  # at most, until all is as before a fault
STARTS = 3  # of a node, which gives up if Redis is busy for a second
AS_A_NODE = "sipbridge:nodes"
SHORT_LEASE_SECONDS = 2.0  # so that a takeover begins after 4 s


class Node:
    """One node, which keeps its address, its ports and its files when it is started again."""

    def __init__(self, name: str, address: str, folder: Path, launcher: tuple[str, ...]) -> None:
        self.name = name
        self.address = address
        self.sip_port, self.http_port = reserved_port(), reserved_port()
        self.folder = folder
        self.is_shown = False  # at the door
        self._launcher = launcher
        self._starts = 0
        self._running = ExitStack()
        self._ups_and_downs: list[tuple[float, bool]] = []
        self.bridge: Bridge

    @property
    def uri(self) -> str:
        """Its SIP URI, as in the proxy's list."""
        return f"sip:{self.address}:{self.sip_port}"

    @property
    def http_address(self) -> str:
        """Its `HOST:PORT` of HTTP."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def is_running(self) -> bool:
        """True if its process runs."""
        return self._starts > 0 and self.bridge.program.is_running

    def start(self, settings: Settings) -> None:
        """Start it on its files; return once it is ready. It is started again if it gives up, as systemd does."""
        for attempt in range(STARTS):
            with suppress(ProgramError) if attempt < STARTS - 1 else nullcontext():
                self._start(settings)
                break
        wait_for(self.is_ready, f"readiness of {self.name}", WHOLE_SECONDS)
        self._ups_and_downs.append((time.time(), True))

    def _start(self, settings: Settings) -> None:
        self._starts += 1
        file = self.folder / f"{self.name}-{self._starts}.yaml"
        file.write_text(yaml.safe_dump(settings))
        running = running_bridge(file, file.with_suffix(".log"), {}, self._launcher)
        self.bridge = self._running.enter_context(running)

    def was_up(self, at: float) -> bool:
        """Return True if it ran at a time, in seconds since 1970, and had been ready before."""
        return next((is_up for since, is_up in reversed(self._ups_and_downs) if since <= at), False)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process."""
        os.kill(self.bridge.program.pid, number)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.close()

    def close(self) -> None:
        """End it, if it runs, without waiting for its calls."""
        self._ups_and_downs.append((time.time(), False))
        if self.is_running:
            self.bridge.program.kill()
        self._running.close()

    def is_ready(self) -> bool:
        """True if it takes calls."""
        return fetch(f"{self.bridge.http}/readyz").status == 200


class Cluster:
    """All programs. `lease_seconds` is that of the next start of a node."""

    def __init__(self, folder: Path, seed: int, chat_pause_seconds: float, stack: ExitStack) -> None:
        self.lease_seconds = SHORT_LEASE_SECONDS
        self.folder = folder
        self.cxone: Simulator = stack.enter_context(simulator(folder))
        self.agent = stack.enter_context(HandoffAgent(seed))
        self.redis: RedisService = stack.enter_context(redis_service(folder, appendonly="yes"))
        self.links = stack.enter_context(Links())
        self.chats = stack.enter_context(Chats(self.cxone, seed, chat_pause_seconds))
        self.clock = WallClock(folder)  # of the first node
        self.nodes = [
            self._node(number, address, self.clock.launcher if number == 1 else ())
            for number, address in enumerate(NODE_ADDRESSES, 1)
        ]
        for node in self.nodes:
            stack.callback(node.close)
            self.start(node)
        sources = {TRUNK: [ADDRESS], NODES: list(NODE_ADDRESSES)}
        uris = [node.uri for node in self.nodes]
        self.proxy: Kamailio = stack.enter_context(kamailio(folder / "kamailio", uris, sources=sources))
        self.wait_until_whole()

    def start(self, node: Node) -> None:
        """Start a node; return once it is ready."""
        node.start(self._settings(node))
        self.show(node)

    def was_up(self, uri: str, at: float) -> bool:
        """Return True if the node with this SIP URI was up at a time, in seconds since 1970."""
        return next(node for node in self.nodes if node.uri == uri).was_up(at)

    def show(self, node: Node) -> None:
        """Let the door send requests to a node."""
        if not node.is_shown:
            self.chats.node_is_up(node.http_address)
            node.is_shown = True

    def hide(self, node: Node) -> None:
        """Let the door send no requests to a node, as it is about to be harmed."""
        if node.is_shown:
            self.chats.node_is_down(node.http_address)
            node.is_shown = False

    def kill(self, node: Node) -> None:
        """Kill a node with SIGKILL."""
        node.kill()
        self.hide(node)

    def drain(self, node: Node) -> None:
        """End a node with SIGTERM; return once its calls have ended, and it has."""
        self.hide(node)
        node.bridge.program.terminate()
        node.bridge.program.wait(WHOLE_SECONDS)
        node.close()

    def restart_all(self, lease_seconds: float) -> None:
        """Start all nodes again with leases of this length."""
        self.lease_seconds = lease_seconds
        for node in self.nodes:
            self.drain(node)
        for node in self.nodes:
            self.start(node)
        self.wait_until_whole()

    def registered(self) -> int:
        """Count the nodes in Redis, and those that are to be taken over."""
        count: int = self.redis.primary.run("HLEN", AS_A_NODE)
        return count

    def wait_until_whole(self) -> None:
        """Return once all nodes run, get calls, have no call in progress, and nothing is left of earlier runs."""
        self.redis.wait_for_replica(WHOLE_SECONDS)
        self.proxy.wait_for_nodes(*(node.uri for node in self.nodes), seconds=WHOLE_SECONDS)
        for node in self.nodes:
            wait_for(node.is_ready, f"readiness of {node.name}", WHOLE_SECONDS)
            node.bridge.wait_until_idle(WHOLE_SECONDS)
            node.bridge.wait_for_metric(0, "sipbridge_store_pending_records", WHOLE_SECONDS)
        self.until(lambda: self.registered() == len(self.nodes), "all nodes in Redis, and no others")
        self.until(lambda: not self.redis.primary.run("KEYS", "sipbridge:open:*"), "no open call")

    @staticmethod
    def until(holds: Callable[[], bool], what: str) -> None:
        """Wait for the cluster. Raises `TimeoutError`."""
        wait_for(holds, what, WHOLE_SECONDS)

    def _node(self, number: int, address: str, launcher: tuple[str, ...]) -> Node:
        node = Node(f"node-{number}", address, self.folder, launcher)
        for server in self.redis.servers:
            self.links.add(address, server.port)
        self.links.add(address, self.redis.sentinel.port, translated=True)
        self.links.add(address, node.http_port)
        return node

    @property
    def redis_ports(self) -> list[int]:
        """The ports of Redis, with the Sentinel's: those of a node's links to it."""
        return [self.redis.sentinel.port, *(server.port for server in self.redis.servers)]

    def _settings(self, node: Node) -> Settings:
        agent = {"type": "websocket", "url": self.agent.url}
        projects = {name: project_settings(name, where, agent=agent) for name, where in PROJECTS.items()}
        projects[CHATS] = self.chats.project()
        settings = bridge_settings(self.folder, {CLIENT: client_settings(NUMBER, self.cxone.url, projects)})
        shared = on_redis(
            self.redis.url_at(node.address),
            node.name,
            lease_seconds=self.lease_seconds,
            internal_url=f"http://{node.address}:{node.http_port}",
        )
        settings |= {"store": shared["store"], "node": shared["node"], "drain_seconds": DRAIN_SECONDS}
        settings["http"] |= shared["http"] | {"listen": node.http_address, "public_url": f"http://{self.chats.address}"}
        settings["sip"] |= {"listen": [f"udp://{node.address}:{node.sip_port}"], "max_calls": MAX_CALLS}
        settings["store"]["journal"] = str(self.folder / f"{node.name}.journal")
        return settings


@contextmanager
def cluster(folder: Path, seed: int, chat_pause_seconds: float) -> Iterator[Cluster]:
    """Run all programs, until the end of the block. No chat has begun yet."""
    with ExitStack() as stack:
        yield Cluster(folder, seed, chat_pause_seconds, stack)
