"""The lookups of names for PJSIP. A request waits for each EventResolve, so each must get its `resolved`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from sipbridge.dns import Addresses, Peer, Pointer, Resolver, Service
from sipbridge.errors import DialFailed, NameNotResolved
from sipbridge.sip.name_table import Lookups
from sipbridge.sip.targets import Locator
from sipbridge.sip.thread import SipThread
from tests.fakes.pjsip import FakePjsip

FAR_END = Peer("192.0.2.9", "call@peer")
AUTHOR = f"\n{FAR_END.far_end}\n{FAR_END.dialog}"


class Names:
    """A resolver that knows `known.test`; `silent.test` gets no response."""

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.peers: list[Peer | None] = []

    async def addresses(self, name: str, peer: Peer | None = None) -> Addresses:
        self.requested.append(name)
        self.peers.append(peer)
        if name == "silent.test":
            await asyncio.sleep(3600)
        if name != "known.test":
            raise NameNotResolved(name)
        return ("192.0.2.1", "192.0.2.2")

    async def services(self, name: str, *_: object) -> tuple[Service, ...]:
        raise NameNotResolved(name)

    async def pointers(self, name: str, *_: object) -> tuple[Pointer, ...]:
        raise NameNotResolved(name)


class World:
    def __init__(self, pjsip: FakePjsip) -> None:
        self.pjsip = pjsip
        self.names = Names()
        self.thread = SipThread(asyncio.get_running_loop(), lambda _: None, pjsip)
        resolver = cast("Resolver", self.names)
        self.lookups = Lookups(resolver, Locator(resolver, {"udp", "tcp"}), self.thread, pjsip)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await self.thread.run(lambda: None)


@pytest.fixture
async def world(pjsip: FakePjsip) -> AsyncIterator[World]:
    world = World(pjsip)
    await world.thread.start(lambda: None, lambda: None)
    yield world
    world.lookups.close()
    await world.thread.stop()


async def test_a_request_to_a_name_gets_its_targets(world: World) -> None:
    world.lookups.find_targets(7, 5070, "TCP\nknown.test" + AUTHOR)
    await world.settle()
    assert world.pjsip.targets == {7: ["tcp://192.0.2.1:5070", "tcp://192.0.2.2:5070"]}


async def test_a_request_to_an_unknown_name_gets_no_target_and_so_fails(world: World) -> None:
    world.lookups.find_targets(7, 5070, "UDP\nunknown.test" + AUTHOR)
    await world.settle()
    assert world.pjsip.targets == {7: []}


async def test_requests_that_wait_get_no_target_when_the_lookups_are_closed(world: World) -> None:
    world.lookups.find_targets(7, 5070, "UDP\nsilent.test" + AUTHOR)
    await world.settle()
    assert world.pjsip.targets == {}
    world.lookups.close()
    await world.settle()
    assert world.pjsip.targets == {7: []}


@pytest.mark.parametrize(("name", "addresses"), [("known.test", ["192.0.2.1", "192.0.2.2"]), ("unknown.test", [])])
async def test_a_host_name_in_sdp_is_resolved_for_the_next_message(
    world: World, name: str, addresses: list[str]
) -> None:
    world.lookups.find_addresses(name + AUTHOR)
    await world.settle()
    assert world.pjsip.names == {name: addresses}


async def test_an_expected_name_is_looked_up_once_at_a_time(world: World) -> None:
    for _ in range(3):
        world.lookups.expect("silent.test", FAR_END)
        world.lookups.expect("unknown.test", FAR_END)
    await world.settle()
    assert sorted(world.names.requested) == ["silent.test", "unknown.test"]
    world.lookups.expect("unknown.test", FAR_END)
    await world.settle()
    assert world.names.requested.count("unknown.test") == 2


async def test_a_name_in_a_message_counts_against_its_author(world: World) -> None:
    world.lookups.find_targets(7, 5070, "TCP\nknown.test" + AUTHOR)
    world.lookups.find_addresses("known.test" + AUTHOR)
    world.lookups.expect("known.test", FAR_END)
    await world.settle()
    assert world.names.peers == [FAR_END] * 3


async def test_dialogs_whose_far_end_is_not_known_share_no_lookups(world: World) -> None:
    world.lookups.find_targets(7, 5070, "TCP\nknown.test\n\ncall@one")
    world.lookups.find_addresses("known.test\n\ncall@other")
    await world.settle()
    assert {peer.far_end for peer in world.names.peers if peer} == {"call@one", "call@other"}


async def test_a_name_of_the_configuration_counts_against_no_peer(world: World) -> None:
    await world.lookups.locate("sip:agent@known.test")
    assert world.names.peers == [None]


async def test_a_name_that_pjsip_asks_for_is_never_one_of_the_configuration(world: World) -> None:
    world.lookups.find_addresses("known.test\n\n")
    world.lookups.find_targets(7, 5070, "TCP\nknown.test\n\n")
    await world.settle()
    assert len(world.names.peers) == 2
    assert None not in world.names.peers


async def test_the_uri_of_a_redirection_counts_against_the_target_that_redirected(world: World) -> None:
    target = "udp://192.0.2.9:5060"
    for user in ("one", "other"):
        await world.lookups.locate(f"sip:{user}@known.test", redirected_by=target)
    one, other = world.names.peers
    assert one is not None
    assert other is not None
    assert one.far_end == other.far_end == target
    assert one.dialog != other.dialog


async def test_a_uri_is_located_or_fails_with_502(world: World) -> None:
    targets = await world.lookups.locate("sip:agent@known.test;transport=tcp")
    assert [str(target) for target in targets] == ["tcp://192.0.2.1:5060", "tcp://192.0.2.2:5060"]
    with pytest.raises(DialFailed) as raised:
        await world.lookups.locate("sip:agent@unknown.test")
    assert raised.value.sip_status == 502
