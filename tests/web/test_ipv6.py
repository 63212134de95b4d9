"""HTTP over IPv6: the same as over IPv4."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sipbridge.config import authority
from sipbridge.errors import StartupError
from sipbridge.web import PopLinks, make_app, start_web
from tests.harness.ipv6 import needs_ipv6
from tests.store.records import make_handoff, make_record

from .conftest import Bridge
from .fakes import ADMIN_KEY, make_config

pytestmark = needs_ipv6


@pytest.fixture
async def over_ipv6(bridge: Bridge) -> AsyncIterator[Bridge]:
    listener, (host, port) = await start_web(make_app(bridge.deps()), "::1", 0)
    bridge.base = f"http://{authority(host, port)}"
    yield bridge
    await listener.cleanup()


async def test_the_api_responds_and_admin_recognizes_loopback(over_ipv6: Bridge) -> None:
    assert over_ipv6.base.startswith("http://[::1]:")
    assert (await over_ipv6.get("/healthz"))[0] == 200
    assert (await over_ipv6.get("calls"))[0] == 200
    assert (await over_ipv6.get("/v1/admin/status", ADMIN_KEY))[0] == 200


async def test_a_pop_link_may_have_an_ipv6_address(over_ipv6: Bridge) -> None:
    await over_ipv6.store.put(make_record(handoff=make_handoff()))
    links = PopLinks.from_config(make_config(public_url=over_ipv6.base).http)
    link = links.make(make_record())
    assert link.startswith("http://[::1]:")
    assert (await over_ipv6.get(link.removeprefix(over_ipv6.base), None))[0] == 200


async def test_an_address_in_use_is_named_in_brackets(over_ipv6: Bridge) -> None:
    port = int(over_ipv6.base.rpartition(":")[2])
    with pytest.raises(StartupError, match=rf"http\.listen: cannot listen on \[::1\]:{port}: "):
        await start_web(make_app(over_ipv6.deps()), "::1", port)
