"""Two nodes on one Redis behind Kamailio."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.harness.certificates import Authority
from tests.harness.ports import reserved_port
from tests.harness.programs.kamailio import ADDRESS, NODE_ADDRESS, Kamailio, kamailio
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings, on_redis
from tests.harness.waiting import wait_for

from .site import PlacedCall, Site, site

NAMES = ("node-1", "node-2")


@dataclass(frozen=True)
class ProxySite:
    """The proxy, its nodes, and what they share."""

    proxy: Kamailio
    nodes: tuple[Site, ...]
    redis: RedisServer
    authority: Authority

    @property
    def uris(self) -> list[str]:
        """The SIP URIs of the nodes."""
        return [uri_of(node) for node in self.nodes]

    def call(self, scenario: str, project: str = "release", **options: Any) -> PlacedCall:  # noqa: ANN401
        """Place calls to the proxy, as `Site.call` does."""
        return replace(self.nodes[0], proxy=self.proxy.address).call(scenario, project, **options)

    def answered_by(self, call: PlacedCall) -> list[int]:
        """Return the numbers of the nodes that answered calls, in the order of the answers."""
        contacts = [each.header("Contact") for each in call.sipp.received(200) if each.method == "INVITE"]
        return [next(n for n, node in enumerate(self.nodes) if node.bridge.sip in each) for each in contacts]

    def wait_until_idle(self, seconds: float = 10) -> None:
        """Return once no node has a call in progress."""
        for node in self.nodes:
            node.bridge.wait_until_idle(seconds)

    @contextmanager
    def stopped(self, number: int) -> Iterator[None]:
        """Let a node stand still meanwhile (SIGSTOP)."""
        process = self.nodes[number].bridge.program.pid
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)


def uri_of(node: Site) -> str:
    """Return the SIP URI of a node, as in the proxy's list."""
    return f"sip:{node.bridge.sip}"


def answer_seconds(call: PlacedCall) -> list[float]:
    """Return the seconds from each INVITE to its 200, in the order of the answers."""
    began: dict[str, datetime] = {}
    seconds = []
    for message in call.sipp.messages:
        if message.method != "INVITE":
            continue
        if message.sent:
            began.setdefault(message.header("Call-ID"), message.at)
        elif message.status == 200:
            seconds.append((message.at - began[message.header("Call-ID")]).total_seconds())
    return seconds


def refused(call: PlacedCall) -> Counter[int]:
    """Count the failures that the trunk got, by status."""
    return Counter(each.status for each in call.sipp.messages if not each.sent and each.status >= 300)


@contextmanager
def proxy_site(folder: Path, cxone: Simulator, *changes: Settings, **defines: str) -> Iterator[ProxySite]:
    """Run everything. `changes` are sections of the nodes' configurations, in turn; `defines` those of site.cfg."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder))
        port = reserved_port()
        nodes = []
        for name, change in zip(NAMES, (*changes, {}, {}), strict=False):
            own = folder / name
            own.mkdir()
            settings = on_redis(redis.url, name) | {
                "sip": {
                    "listen": [f"udp://{NODE_ADDRESS}:0", f"tcp://{NODE_ADDRESS}:0"],
                    "outbound_proxy": f"sip:{ADDRESS}:{port}",
                }
            }
            settings["store"]["journal"] = str(own / "journal")
            for section, values in change.items():
                settings[section] = {**settings.get(section, {}), **values} if isinstance(values, dict) else values
            nodes.append(stack.enter_context(site(own, cxone, **settings)))
        authority = Authority(folder)
        uris = [uri_of(node) for node in nodes]
        proxy = stack.enter_context(
            kamailio(
                folder / "kamailio", uris, tls=authority.issue("proxy"), authority=authority, defines=defines, port=port
            )
        )
        wait_for(lambda: redis.run("HLEN", "sipbridge:nodes") == len(uris), "both nodes in Redis")
        proxy.wait_for_nodes(*uris)
        yield ProxySite(proxy, tuple(nodes), redis, authority)
