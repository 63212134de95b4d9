from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from sipbridge.dns import Peer, Resolver
from sipbridge.errors import HttpForbidden, HttpNotReached
from sipbridge.http import HttpClient, check_encrypted, is_public

from .server import serving


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 (an address to refuse)
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "not an address",
        "",
    ],
)
def test_addresses_of_an_own_network_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "172.32.0.1", "2a00:1450:4001:80e::2003", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url", ["https://hook.example/x", "http://127.0.0.1:9000/", "http://[::1]/", "http://localhost"]
)
def test_https_is_encrypted_and_loopback_need_not_be(url: str) -> None:
    check_encrypted(url)


@pytest.mark.parametrize("url", ["http://hook.example/", "http://10.0.0.1/", "http://127.0.0.1.example/", "gopher://x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(HttpForbidden):
        check_encrypted(url)


class Rebinding(Resolver):
    """A resolver whose name has another address each time that it is looked up."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(time.monotonic)
        self._left: Iterator[str] = iter(addresses)
        self.peers: list[Peer | None] = []

    async def addresses(self, name: str, peer: Peer | None = None) -> tuple[str, ...]:  # noqa: ARG002 (any name)
        self.peers.append(peer)
        return tuple(next(self._left).split())


def loopback_is_private(address: str) -> bool:
    """Stands for `is_public` in a test that can connect to loopback only."""
    return address != "127.0.0.2"


async def test_a_private_address_is_not_connected_to() -> None:
    async with serving() as server, HttpClient(Resolver(time.monotonic), allows=is_public) as http:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0"):
            with pytest.raises(HttpNotReached):
                await http.request("GET", server.url.replace("127.0.0.1", host), seconds=3)
        assert server.connections == 0


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    async with serving() as server:
        url = server.url.replace("127.0.0.1", "hook.example")
        resolver = Rebinding("127.0.0.1", "127.0.0.2")
        async with HttpClient(resolver, allows=loopback_is_private) as http:
            assert (await http.request("GET", url, seconds=3)).status == 200
            assert len(resolver.peers) == 1
            await server.hang_up()
            await asyncio.sleep(0.05)  # until the client has noticed
            with pytest.raises(HttpForbidden, match=r"hook\.example has no public address"):
                await http.request("GET", url, seconds=3)


async def test_of_several_addresses_only_the_public_ones_are_tried() -> None:
    async with serving() as server:
        url = server.url.replace("127.0.0.1", "hook.example")
        async with HttpClient(Rebinding("127.0.0.2 127.0.0.1"), allows=loopback_is_private) as http:
            assert (await http.request("GET", url, seconds=3)).status == 200


async def test_lookups_of_an_author_count_against_its_share() -> None:
    resolver = Rebinding("127.0.0.1", "127.0.0.1")
    async with serving() as server:
        url = server.url.replace("127.0.0.1", "files.example")
        async with HttpClient(resolver, author="bot") as http:
            await http.request("GET", url, seconds=3)
        async with HttpClient(resolver) as http:
            await http.request("GET", url, seconds=3)
    assert resolver.peers == [Peer("bot", "files.example"), None]
