from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from sipbridge.dns import Addresses, Peer, Pointer, Service
from sipbridge.errors import NameNotResolved
from sipbridge.sip import targets
from sipbridge.sip.targets import Hop, Locator, in_order

HOSTS = {
    "a.test": ("192.0.2.1",),
    "b.test": ("192.0.2.2", "192.0.2.3"),
    "example.test": ("192.0.2.9",),
    "agent": ("192.0.2.8",),
}
UDP, TCP, TLS = "_sip._udp.example.test", "_sip._tcp.example.test", "_sips._tcp.example.test"


class Names:
    """A resolver without DNS; those in `silent` take an hour."""

    def __init__(self) -> None:
        self.hosts: dict[str, Addresses] = dict(HOSTS)
        self.srv: dict[str, tuple[Service, ...]] = {}
        self.naptr: dict[str, tuple[Pointer, ...]] = {}
        self.silent: set[str] = set()
        self.failing: set[str] = set()
        self.asked: list[str] = []
        self.peers: set[Peer | None] = set()

    async def addresses(self, name: str, peer: Peer | None = None) -> Addresses:
        await self._reach(name, peer)
        if name[0].isdigit():
            return (name,)
        if name not in self.hosts:
            raise NameNotResolved(name)
        return self.hosts[name]

    async def services(self, name: str, peer: Peer | None = None) -> tuple[Service, ...]:
        await self._reach(name, peer)
        return self.srv.get(name, ())

    async def pointers(self, name: str, peer: Peer | None = None) -> tuple[Pointer, ...]:
        await self._reach(f"NAPTR {name}", peer)
        return self.naptr.get(name, ())

    async def _reach(self, name: str, peer: Peer | None) -> None:
        self.peers.add(peer)
        self.asked.append(name)
        if name in self.silent:
            await asyncio.sleep(3600)
        if name in self.failing:
            raise NameNotResolved(name)


@pytest.fixture
def names() -> Names:
    return Names()


async def find(names: Names, host: str, port: int = 0, transport: str = "", *, open_: str = "udp tcp tls") -> list[str]:
    locator = Locator(names, open_.split())  # type: ignore[arg-type]  # what it asks of a resolver
    return [str(target) for target in await locator.find(Hop(host, port, transport))]


async def test_an_address_is_its_own_target(names: Names) -> None:
    assert await find(names, "192.0.2.7") == ["udp://192.0.2.7:5060"]
    assert await find(names, "192.0.2.7", 5070, "tcp") == ["tcp://192.0.2.7:5070"]
    assert await find(names, "192.0.2.7", transport="tls") == ["tls://192.0.2.7:5061"]


async def test_a_name_with_a_port_is_a_host(names: Names) -> None:
    names.srv[UDP] = (Service(1, 1, "a.test", 5090),)
    assert await find(names, "example.test", 5070) == ["udp://192.0.2.9:5070"]
    assert names.asked == ["example.test"]


async def test_each_address_of_a_host_is_a_target(names: Names) -> None:
    assert await find(names, "b.test", 5060) == ["udp://192.0.2.2:5060", "udp://192.0.2.3:5060"]


async def test_a_name_without_dots_is_a_host(names: Names) -> None:
    assert await find(names, "agent") == ["udp://192.0.2.8:5060"]
    assert names.asked == ["agent"]


async def test_without_records_a_name_is_a_host(names: Names) -> None:
    assert await find(names, "example.test") == ["udp://192.0.2.9:5060"]
    assert await find(names, "example.test", transport="tls") == ["tls://192.0.2.9:5061"]


async def test_srv_records_are_looked_up_for_the_transport_of_the_uri(names: Names) -> None:
    names.srv = {UDP: (Service(1, 1, "a.test", 5070),), TCP: (Service(1, 1, "a.test", 5071),)}
    names.srv[TLS] = (Service(1, 1, "a.test", 5072),)
    assert await find(names, "example.test", transport="udp") == ["udp://192.0.2.1:5070"]
    assert await find(names, "example.test", transport="tcp") == ["tcp://192.0.2.1:5071"]
    assert await find(names, "example.test", transport="tls") == ["tls://192.0.2.1:5072"]
    assert not any(name.startswith("NAPTR") for name in names.asked)


async def test_a_uri_without_transport_uses_srv_records_of_any_transport_with_a_listener(names: Names) -> None:
    names.srv = {TCP: (Service(1, 1, "a.test", 5071),), UDP: (Service(1, 1, "b.test", 5070),)}
    assert await find(names, "example.test", open_="tcp") == ["tcp://192.0.2.1:5071"]
    assert (await find(names, "example.test"))[0].startswith("udp:")


async def test_naptr_records_choose_the_transport_of_a_target(names: Names) -> None:
    names.naptr["example.test"] = (
        Pointer(50, 20, "s", "SIP+D2U", "udp.test"),
        Pointer(50, 10, "s", "SIP+D2T", "tcp.test"),
        Pointer(10, 10, "s", "SIPS+D2T", "tls.test"),
        Pointer(1, 1, "u", "E2U+sip", "other.test"),
    )
    names.srv = {f"{kind}.test": (Service(1, 1, "a.test", 5070),) for kind in ("udp", "tcp", "tls", "other")}
    assert await find(names, "example.test") == [f"{kind}://192.0.2.1:5070" for kind in ("tls", "tcp", "udp")]
    assert (await find(names, "example.test", open_="udp tcp"))[0] == "tcp://192.0.2.1:5070"


async def test_srv_records_are_used_by_priority_and_each_address_is_a_target(names: Names) -> None:
    names.srv[UDP] = (Service(20, 1, "a.test", 5070), Service(10, 1, "b.test", 5080))
    found = await find(names, "example.test")
    assert found == ["udp://192.0.2.2:5080", "udp://192.0.2.3:5080", "udp://192.0.2.1:5070"]


async def test_a_host_of_an_srv_record_that_does_not_resolve_is_skipped(names: Names) -> None:
    names.srv[UDP] = (Service(10, 1, "nowhere.test", 5070), Service(20, 1, "a.test", 5080))
    assert await find(names, "example.test") == ["udp://192.0.2.1:5080"]


@pytest.mark.parametrize("host", ["nowhere.test", ""])
async def test_srv_records_without_a_resolvable_host_give_no_target(names: Names, host: str) -> None:
    names.srv[UDP] = (Service(10, 1, host, 5070),)
    with pytest.raises(NameNotResolved):
        await find(names, "example.test")


async def test_a_name_server_that_does_not_respond_for_srv_delays_a_call_by_one_second(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_RECORD_SECONDS", 0.05)
    names.silent = {"NAPTR example.test"}
    began = time.monotonic()
    assert await find(names, "example.test") == ["udp://192.0.2.9:5060"]
    assert time.monotonic() - began < 1


async def test_a_name_server_that_fails_for_srv_does_not_fail_a_call(names: Names) -> None:
    names.failing = {"NAPTR example.test", UDP, TCP, TLS}
    assert await find(names, "example.test") == ["udp://192.0.2.9:5060"]


@pytest.mark.parametrize("transport", ["tls", "sctp"])
async def test_a_transport_without_a_listener_is_not_used_for_calls(names: Names, transport: str) -> None:
    with pytest.raises(NameNotResolved, match=transport):
        await find(names, "example.test", transport=transport, open_="udp tcp")


async def test_only_ipv4_is_called(names: Names) -> None:
    names.hosts["both.test"] = ("2001:db8::1", "192.0.2.4")
    names.hosts["six.test"] = ("2001:db8::1",)
    assert await find(names, "both.test") == ["udp://192.0.2.4:5060"]
    with pytest.raises(NameNotResolved, match="no IPv4 address"):
        await find(names, "six.test")


def test_srv_records_of_equal_priority_are_chosen_by_weight() -> None:
    services = [
        Service(1, 90, "often", 1),
        Service(1, 10, "seldom", 1),
        Service(1, 0, "hardly", 1),
        Service(2, 99, "last", 1),
    ]
    orders = [[service.host for service in in_order(services)] for _ in range(500)]
    firsts = Counter(order[0] for order in orders)
    assert 400 < firsts["often"] < 490
    assert all(order[-1] == "last" and len(set(order)) == 4 for order in orders)


@pytest.mark.parametrize("peer", [None, Peer("192.0.2.1", "call@peer")])
async def test_each_lookup_counts_against_the_author_of_the_host(names: Names, peer: Peer | None) -> None:
    names.naptr["example.test"] = (Pointer(1, 1, "s", "SIP+D2U", UDP),)
    names.srv[UDP] = (Service(1, 1, "a.test", 5090),)
    locator = Locator(names, ["udp"])  # type: ignore[arg-type]  # what it needs of a resolver
    await locator.find(Hop("example.test", peer=peer))
    assert names.asked == ["NAPTR example.test", UDP, "a.test"]
    assert names.peers == {peer}
