"""Faults of sockets: refused, reset, slow, idle, cut and closed."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.gateway import connection
from sipbridge.simulators.cxone.digital.gateway.channels import MESSAGING

from .chat_client import ChatClient, connected, fault, new_id, post, query, settings

ADA, *_ = DEMO_AGENTS


@pytest.mark.parametrize("status", [403, 503])
async def test_a_socket_is_refused_with_a_status(http: aiohttp.ClientSession, status: int) -> None:
    await fault(http, "connect", status=status)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/", params=query())
    assert refused.value.status == status
    async with connected(http) as client:
        assert await client.types() == []


async def test_a_connection_is_reset_before_the_upgrade(http: aiohttp.ClientSession) -> None:
    await fault(http, "connect", reset=True, times=2)  # aiohttp's client connects again once
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.ws_connect("/", params=query())
    async with connected(http):
        pass


async def test_a_gateway_that_is_down_resets_connections_until_it_is_up(http: aiohttp.ClientSession) -> None:
    await settings(http, down=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.ws_connect("/", params=query())
    await settings(http, down=False)
    async with connected(http):
        pass
    async with http.get("/simulator/digital/counts") as response:
        counts = (await response.json())["connect"]
    assert counts["101"] == 1
    assert counts["reset"] >= 1


async def test_a_slow_upgrade_is_delayed(http: aiohttp.ClientSession) -> None:
    await fault(http, "connect", latency_seconds=0.1)
    started_at = time.monotonic()
    async with connected(http):
        assert time.monotonic() - started_at >= 0.1


async def test_an_idle_socket_is_closed(http: aiohttp.ClientSession) -> None:
    await settings(http, idle_seconds=0.1)
    async with connected(http) as client:
        for _ in range(4):
            await asyncio.sleep(0.05)
            assert await client.types() == []
        assert await client.closed() == aiohttp.WSCloseCode.GOING_AWAY


async def test_an_old_socket_is_closed(http: aiohttp.ClientSession) -> None:
    await settings(http, connection_seconds=0.1)
    async with connected(http) as client:
        started_at = time.monotonic()
        assert await client.closed() == aiohttp.WSCloseCode.GOING_AWAY
        assert time.monotonic() - started_at < 2


async def test_one_socket_is_closed_after_a_time(http: aiohttp.ClientSession) -> None:
    await fault(http, "connect", close_after_seconds=0.05)
    async with connected(http) as first, connected(http) as second:
        await first.closed()
        assert await second.types() == []


@pytest.mark.parametrize(("body", "code"), [({}, 1006), ({"code": 1012}, 1012)])
async def test_open_sockets_are_cut_or_closed(http: aiohttp.ClientSession, body: dict[str, object], code: int) -> None:
    async with connected(http) as client, connected(http, customer="customer-2") as other:
        async with http.get("/simulator/digital/connections") as response:
            assert (await response.json())["count"] == 2
        assert await post(http, "drop", body | {"customer": "customer-1"}) == {"dropped": 1}
        assert await client.closed() == code
        assert await other.types() == []


async def test_a_closed_socket_gets_nothing_more_and_is_cut_if_the_client_does_not_close_it(
    http: aiohttp.ClientSession, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CLOSING_SECONDS", 0.1)
    async with http.ws_connect("/", params=query(), autoclose=False) as socket:
        client = ChatClient(socket, MESSAGING.id, "customer-1")
        await client.authorize()
        await client.say(new_id())
        await client.types()
        await post(http, "drop", {"code": 1012})
        desk.conversations()[0].accept(ADA)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        async with asyncio.timeout(5):
            while await open_sockets(http):
                pass


async def open_sockets(http: aiohttp.ClientSession) -> int:
    async with http.get("/simulator/digital/connections") as response:
        return int((await response.json())["count"])
