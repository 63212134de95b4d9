from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiodns
import pytest

from sipbridge.dns import Resolver
from tests.cxone.support import Clock
from tests.dns.support import KNOWN, POINTERS, SERVICES, System
from tests.harness.programs.nameserver import Nameserver, nameserver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def system() -> Iterator[System]:
    system = System()
    yield system
    system.go.set()


@pytest.fixture
def server() -> Iterator[Nameserver]:
    with nameserver(KNOWN, services=SERVICES, pointers=POINTERS) as server:
        yield server


@pytest.fixture
async def resolver(server: Nameserver, clock: Clock, system: System) -> AsyncIterator[Resolver]:
    # Without c-ares's own cache, since ours is tested.
    channel = aiodns.DNSResolver(["127.0.0.1"], udp_port=server.port, timeout=0.3, tries=1)
    resolver = Resolver(clock, channel, system)
    yield resolver
    await resolver.close()
