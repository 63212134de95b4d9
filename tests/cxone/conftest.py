from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest

from sipbridge.cxone import CxoneClient
from sipbridge.dns import Resolver
from sipbridge.http import HttpClient
from sipbridge.simulators.cxone import DEMO_TENANT, Tenant, running_simulator

from .support import Clock, Recorder, Simulator, config_for

MakeCentre = Callable[..., CxoneClient]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient(Resolver(time.monotonic)) as http:
        yield http


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with running_simulator() as url, aiohttp.ClientSession() as control:
        yield Simulator(url, control)


@pytest.fixture
async def make_client(
    simulator: Simulator, http: HttpClient, recorder: Recorder, clock: Clock
) -> AsyncIterator[MakeCentre]:
    """A factory of clients for the simulator's demo tenant; keywords change the configuration."""
    made: list[CxoneClient] = []

    def make(
        client: str = "acme",
        *,
        issuer: str | None = None,
        tenant: Tenant = DEMO_TENANT,
        budget_seconds: float = 3.0,
        transcript_seconds: float = 2.0,
        **changes: object,
    ) -> CxoneClient:
        cxone = CxoneClient(
            client,
            config_for(issuer or simulator.url, tenant, **changes),
            http,
            recorder,
            budget_seconds=budget_seconds,
            transcript_seconds=transcript_seconds,
            clock=clock,
        )
        made.append(cxone)
        return cxone

    yield make
    for cxone in made:
        await cxone.close()


@pytest.fixture
def refusing_address() -> Iterator[str]:
    """An address that refuses connections during the test: bound, but without a listener."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"
