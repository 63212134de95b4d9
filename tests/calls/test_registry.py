from __future__ import annotations

from sipbridge.calls.call import Call
from sipbridge.calls.registry import CallRegistry
from tests.calls.world import CONTACT, World


def _calls(count: int) -> tuple[CallRegistry, list[Call]]:
    registry = CallRegistry()
    calls = [World().call for _ in range(count)]
    for call in calls:
        registry.add(call)
    return registry, calls


async def test_a_call_is_found_by_its_own_project_only() -> None:
    registry, (call,) = _calls(1)
    assert registry.find("acme", "billing", call.record.call_id) is call
    assert registry.find("acme", "sales", call.record.call_id) is None
    assert registry.find("other", "billing", call.record.call_id) is None
    assert registry.find("acme", "billing", "another") is None
    assert registry.find_shared("acme", "sales", CONTACT) is None


async def test_of_calls_with_one_shared_id_the_newest_is_found() -> None:
    registry, (first, second) = _calls(2)
    assert registry.find_shared("acme", "billing", CONTACT) is second
    registry.remove(second)
    assert registry.find_shared("acme", "billing", CONTACT) is first
    registry.remove(first)
    assert registry.find_shared("acme", "billing", CONTACT) is None


async def test_a_projects_calls_come_newest_first() -> None:
    registry, calls = _calls(3)
    assert registry.of_project("acme", "billing") == calls[::-1]
    assert registry.of_project("acme", "sales") == []
    assert registry.all() == calls
    assert len(registry) == 3


async def test_a_call_shared_under_another_id_is_no_longer_found_by_the_old() -> None:
    registry, (first, second) = _calls(2)
    registry.share_as(second, "crm-1")
    assert registry.find_shared("acme", "billing", "crm-1") is second
    assert registry.find_shared("acme", "billing", CONTACT) is first


async def test_a_call_removed_twice_is_gone_once() -> None:
    registry, (first, second) = _calls(2)
    registry.remove(first)
    registry.remove(first)
    assert registry.all() == [second]
    assert registry.find_shared("acme", "billing", CONTACT) is second
