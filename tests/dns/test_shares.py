"""The lookups in progress that a dialog, a peer and all peers may have."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.dns import Peer, Resolver, cache
from sipbridge.errors import NameNotResolved
from tests.dns.support import System
from tests.harness.programs.nameserver import Nameserver


async def _hang(resolver: Resolver, system: System, names: dict[str, Peer | None]) -> list[asyncio.Task[object]]:
    """Start a lookup of each name, with its author; none ends before the test does."""
    system.hanging |= set(names)
    tasks = [asyncio.create_task(_try(resolver, name, peer)) for name, peer in names.items()]
    # A refused lookup fails at once; the others reach the system's resolver.
    while (running := sum(not task.done() for task in tasks)) != system.lookups.total():
        await asyncio.sleep(0.01)
        assert running >= system.lookups.total()
    return list(tasks)


async def _try(resolver: Resolver, name: str, peer: Peer | None) -> object:
    try:
        return await resolver.addresses(name, peer)
    except NameNotResolved:
        return None


async def _cancel(tasks: list[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_dialog_has_a_few_lookups_and_others_have_theirs(resolver: Resolver, system: System) -> None:
    dialog = Peer("192.0.2.1", "first")
    tasks = await _hang(resolver, system, {f"dead-{number}.test": dialog for number in range(20)})
    assert system.lookups.total() == cache.MAX_DIALOG_LOOKUPS
    async with asyncio.timeout(1):
        with pytest.raises(NameNotResolved):
            await resolver.addresses("cxone.test", dialog)
        assert await resolver.addresses("cxone.test", Peer("192.0.2.1", "second"))
        assert await resolver.addresses("cxone.test", dialog)  # cached by now
    await _cancel(tasks)


async def test_a_far_end_with_many_dialogs_leaves_lookups_to_others(resolver: Resolver, system: System) -> None:
    names: dict[str, Peer | None] = {f"dead-{number}.test": Peer("192.0.2.1", str(number)) for number in range(40)}
    tasks = await _hang(resolver, system, names)
    assert system.lookups.total() == cache.MAX_FAR_END_LOOKUPS
    async with asyncio.timeout(1):
        assert await resolver.addresses("cxone.test", Peer("192.0.2.2", "other"))
    await _cancel(tasks)


async def test_names_of_the_configuration_never_wait_for_those_of_peers(resolver: Resolver, system: System) -> None:
    names: dict[str, Peer | None] = {f"dead-{number}.test": Peer(str(number), str(number)) for number in range(200)}
    tasks = await _hang(resolver, system, names)
    assert system.lookups.total() == cache.MAX_PEER_LOOKUPS
    system.known["quick.test"] = ("127.0.0.6",)
    async with asyncio.timeout(2):
        assert await resolver.addresses("cxone.test")
        assert await resolver.addresses("quick.test")  # by the system, on a thread
    await _cancel(tasks)


async def test_a_lookup_that_the_configuration_needs_too_frees_the_slot_of_the_peer(
    resolver: Resolver, system: System
) -> None:
    dialog = Peer("192.0.2.1", "first")
    names: dict[str, Peer | None] = {f"dead-{number}.test": dialog for number in range(cache.MAX_DIALOG_LOOKUPS)}
    tasks = await _hang(resolver, system, names)
    tasks.append(asyncio.create_task(_try(resolver, "dead-0.test", None)))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        assert await resolver.addresses("cxone.test", dialog)
    await _cancel(tasks)


async def test_names_of_peers_are_dropped_before_those_of_the_configuration(
    resolver: Resolver, server: Nameserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_NAMES", 2)
    await resolver.addresses("cxone.test")
    for name in ("other.test", "several.test"):
        await resolver.addresses(name, Peer("192.0.2.1", "first"))
    server.lookups.clear()
    await resolver.addresses("cxone.test")
    assert server.lookups.total() == 0
