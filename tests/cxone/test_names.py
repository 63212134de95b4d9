from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator

import aiodns
import pytest
from harness.nameserver import Nameserver, nameserver

from sipbridge.cxone.names import Names
from sipbridge.errors import CxoneNotReached

from .support import Clock

KNOWN = {"cxone.test": "127.0.0.7", "other.test": "127.0.0.8"}


@pytest.fixture
def server() -> Iterator[Nameserver]:
    with nameserver(KNOWN) as server:
        yield server


@pytest.fixture
async def names(server: Nameserver, clock: Clock) -> AsyncIterator[Names]:
    names = Names(clock, aiodns.DNSResolver(["127.0.0.1"], udp_port=server.port, timeout=1.0))
    yield names
    await names.close()


async def first(names: Names, host: str = "cxone.test") -> tuple[str, int]:
    address, port = (await names.addresses(host, 443))[0][4][:2]
    return str(address), int(port)


async def test_a_name_stands_for_its_addresses(names: Names) -> None:
    assert await first(names) == ("127.0.0.7", 443)


@pytest.mark.parametrize("address", ["192.0.2.1", "::1"])
async def test_an_address_is_not_looked_up(names: Names, server: Nameserver, address: str) -> None:
    assert await first(names, address) == (address, 443)
    assert server.asked == {}


async def test_a_name_that_is_none_is_not_reached(names: Names) -> None:
    with pytest.raises(CxoneNotReached, match=r"nowhere\.test could not be resolved"):
        await first(names, "nowhere.test")


async def test_an_answer_is_good_for_a_minute(names: Names, server: Nameserver, clock: Clock) -> None:
    await first(names)
    server.known["cxone.test"] = "127.0.0.9"
    clock.advance(59)
    assert await first(names) == ("127.0.0.7", 443)
    clock.advance(2)
    assert await first(names) == ("127.0.0.9", 443)


@pytest.mark.parametrize("trouble", ["silence", "no such name"])
async def test_what_a_name_last_stood_for_is_used_while_dns_is_down(
    names: Names, server: Nameserver, clock: Clock, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    await first(names)
    clock.advance(3600)
    if trouble == "silence":
        server.silent.add("cxone.test")
    else:
        del server.known["cxone.test"]
    started_at = time.monotonic()
    assert await first(names) == ("127.0.0.7", 443)
    assert time.monotonic() - started_at < 2
    assert [vars(record).get("event") for record in caplog.records] == ["cxone_name_stale"]


async def test_a_name_that_hangs_holds_up_no_other(
    names: Names, server: Nameserver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.silent |= {f"hanging-{number}.test" for number in range(20)}
    hanging = [asyncio.create_task(first(names, name)) for name in server.silent]
    async with asyncio.timeout(2):
        assert await first(names) == ("127.0.0.7", 443)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_who_asks_at_once_shares_one_lookup_and_giving_up_leaves_it_to_the_others(
    names: Names, server: Nameserver
) -> None:
    server.silent.add("cxone.test")
    waiters = [asyncio.create_task(first(names)) for _ in range(50)]
    await asyncio.sleep(0.1)
    asked = server.asked["cxone.test"]
    assert asked <= 2  # for an IPv4 and an IPv6 address
    waiters[0].cancel()
    server.silent.clear()
    results = await asyncio.gather(*waiters[1:])
    assert set(results) == {("127.0.0.7", 443)}
