"""The resolver: addresses, records, validity, and lookups that hang."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time

import pytest

from sipbridge.dns import Pointer, Resolver, Service, cache, system_lookup
from sipbridge.errors import NameNotResolved
from tests.cxone.support import Clock
from tests.dns.support import System
from tests.harness.programs.nameserver import Nameserver


async def test_a_name_resolves_to_its_addresses(resolver: Resolver) -> None:
    assert await resolver.addresses("several.test") == ("127.0.0.2", "127.0.0.3")


@pytest.mark.parametrize("address", ["192.0.2.1", "::1"])
async def test_an_address_is_not_looked_up(resolver: Resolver, server: Nameserver, address: str) -> None:
    assert await resolver.addresses(address) == (address,)
    assert server.lookups == {}


async def test_names_that_differ_in_case_or_a_final_dot_are_the_same(resolver: Resolver, server: Nameserver) -> None:
    await resolver.addresses("cxone.test")
    lookups = server.lookups.total()
    assert await resolver.addresses("CXone.TEST.") == ("127.0.0.7",)
    assert server.lookups.total() == lookups


async def test_an_invalid_name_is_not_resolved(resolver: Resolver) -> None:
    with pytest.raises(NameNotResolved, match=r"nowhere\.test could not be resolved"):
        await resolver.addresses("nowhere.test")


async def test_srv_and_naptr_records_are_parsed(resolver: Resolver) -> None:
    assert set(await resolver.services("_sip._udp.example.test")) == {
        Service(10, 1, "a.test", 5070),
        Service(20, 2, "b.test", 5080),
    }
    assert await resolver.pointers("example.test") == (Pointer(50, 10, "s", "SIP+D2U", "_sip._udp.example.test"),)


async def test_an_answer_without_records_is_cached(resolver: Resolver, server: Nameserver) -> None:
    for _ in range(3):
        assert await resolver.services("_sip._tcp.cxone.test") == ()
    assert server.lookups["_sip._tcp.cxone.test"] == 1


# ------------------------------------------------------------ the validity of answers


async def test_an_answer_is_valid_for_its_time_to_live(resolver: Resolver, server: Nameserver, clock: Clock) -> None:
    server.zone.ttl = 40
    await resolver.addresses("cxone.test")
    lookups = server.lookups.total()
    clock.advance(39)
    await resolver.addresses("cxone.test")
    assert server.lookups.total() == lookups


async def test_an_answer_with_a_short_time_to_live_is_valid_for_some_seconds_and_then_refreshed(
    resolver: Resolver, server: Nameserver, clock: Clock
) -> None:
    await resolver.addresses("cxone.test")
    server.known["cxone.test"] = "127.0.0.9"
    clock.advance(cache.MIN_FRESH_SECONDS - 1)
    assert await resolver.addresses("cxone.test") == ("127.0.0.7",)
    clock.advance(2)
    assert await resolver.addresses("cxone.test") == ("127.0.0.9",)


@pytest.mark.parametrize("trouble", ["silence", "no such name"])
async def test_the_last_address_is_used_while_dns_fails(
    resolver: Resolver, server: Nameserver, clock: Clock, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    await resolver.addresses("cxone.test")
    clock.advance(3600)
    if trouble == "silence":
        server.silent.add("cxone.test")
    else:
        del server.known["cxone.test"]
    started_at = time.monotonic()
    assert await resolver.addresses("cxone.test") == ("127.0.0.7",)
    assert time.monotonic() - started_at < 2
    async with asyncio.timeout(3):
        while not caplog.records:  # noqa: ASYNC110 (the log has no event)
            await asyncio.sleep(0.01)
    assert await resolver.addresses("cxone.test") == ("127.0.0.7",)
    assert [vars(record).get("event") for record in caplog.records] == ["name_stale"]


async def test_a_failure_is_cached_for_some_seconds(
    resolver: Resolver, server: Nameserver, system: System, clock: Clock
) -> None:
    for _ in range(3):
        with pytest.raises(NameNotResolved):
            await resolver.addresses("nowhere.test")
    assert system.lookups["nowhere.test"] == 1
    clock.advance(cache.FAILED_SECONDS + 1)
    server.known["nowhere.test"] = "127.0.0.5"
    assert await resolver.addresses("nowhere.test") == ("127.0.0.5",)


# ------------------------------------------------------------ lookups that hang


async def test_a_lookup_that_hangs_does_not_delay_another(
    resolver: Resolver, server: Nameserver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.silent |= {f"hanging-{number}.test" for number in range(200)}
    hanging = [asyncio.create_task(resolver.addresses(name)) for name in server.silent]
    async with asyncio.timeout(2):
        assert await resolver.addresses("cxone.test") == ("127.0.0.7",)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_simultaneous_requests_share_one_lookup_that_survives_a_cancelled_request(
    resolver: Resolver, server: Nameserver
) -> None:
    server.silent.add("cxone.test")
    waiters = [asyncio.create_task(resolver.addresses("cxone.test")) for _ in range(50)]
    async with asyncio.timeout(2):
        while not server.lookups["cxone.test"]:  # noqa: ASYNC110 (the name server has no event)
            await asyncio.sleep(0.01)
    assert server.lookups["cxone.test"] <= 2  # for an IPv4 and an IPv6 address
    waiters[0].cancel()
    server.silent.clear()
    results = await asyncio.gather(*waiters[1:], return_exceptions=True)
    assert len({str(each) for each in results}) == 1


async def test_no_request_waits_for_a_lookup_past_its_time_limit(
    resolver: Resolver, system: System, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(cache, "LOOKUP_SECONDS", 0.1)
    system.hanging.add("dead.test")
    with pytest.raises(NameNotResolved):
        await resolver.addresses("dead.test")
    clock.advance(0.2)
    started_at = time.monotonic()
    for _ in range(100):
        with pytest.raises(NameNotResolved):
            await resolver.addresses("dead.test")
    assert time.monotonic() - started_at < 1  # waiting for each would take ten seconds
    assert system.lookups["dead.test"] == 1


async def test_the_result_of_a_late_lookup_is_cached(
    resolver: Resolver, system: System, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(cache, "LOOKUP_SECONDS", 0.1)
    system.hanging.add("late.test")
    system.known["late.test"] = ("127.0.0.4",)
    with pytest.raises(NameNotResolved):
        await resolver.addresses("late.test")
    clock.advance(0.2)
    system.go.set()
    async with asyncio.timeout(2):
        while True:
            try:
                assert await resolver.addresses("late.test") == ("127.0.0.4",)
                break
            except NameNotResolved:
                await asyncio.sleep(0.01)


# ------------------------------------------------------------ names that only the system knows


async def test_a_name_that_dns_does_not_know_is_looked_up_by_the_system(resolver: Resolver, system: System) -> None:
    system.known["printer.local"] = ("127.0.0.6",)
    assert await resolver.addresses("printer.local") == ("127.0.0.6",)


async def test_each_system_lookup_that_hangs_has_its_thread_up_to_a_limit(
    resolver: Resolver, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_lookup, "MAX_SYSTEM_THREADS", 3)
    system.known["quick.test"] = ("127.0.0.6",)
    system.hanging |= {f"dead-{number}.test" for number in range(10)}
    asking = [asyncio.create_task(resolver.addresses(name)) for name in sorted(system.hanging) for _ in range(3)]
    async with asyncio.timeout(2):
        for refused in itertools.islice(asyncio.as_completed(asking), 21):
            with pytest.raises(NameNotResolved):
                await refused
        assert await resolver.addresses("cxone.test") == ("127.0.0.7",)
        # Counted at the end, as a thread may count its lookup after the others are refused.
        system.go.set()
        await asyncio.gather(*asking, return_exceptions=True)
    assert system.lookups.total() == 3


async def test_the_cache_has_a_maximum_size_and_drops_failures_first(
    resolver: Resolver, server: Nameserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_NAMES", 3)
    await resolver.addresses("cxone.test")
    lookups = server.lookups["cxone.test"]
    for number in range(20):
        with pytest.raises(NameNotResolved):
            await resolver.addresses(f"made-up-{number}.test")
    await resolver.addresses("cxone.test")
    assert server.lookups["cxone.test"] == lookups


async def test_the_least_recently_used_name_is_dropped(
    resolver: Resolver, server: Nameserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_NAMES", 2)
    for name in ("cxone.test", "other.test", "cxone.test", "several.test"):
        await resolver.addresses(name)
    server.lookups.clear()
    await resolver.addresses("cxone.test")
    assert server.lookups.total() == 0
    await resolver.addresses("other.test")
    assert server.lookups["other.test"] > 0


# ------------------------------------------------------------ connecting


async def test_a_connection_goes_to_the_first_address_that_accepts_it(resolver: Resolver) -> None:
    with socket.create_server(("127.0.0.3", 0)) as listener:
        port = listener.getsockname()[1]
        with await resolver.connect("several.test", port) as connected:
            assert connected.getpeername() == ("127.0.0.3", port)
