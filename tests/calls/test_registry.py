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


async def test_a_call_is_found_only_by_its_own_project() -> None:
    registry, (call,) = _calls(1)
    assert registry.find("acme", "billing", call.record.call_id) is call
    assert registry.find("acme", "sales", call.record.call_id) is None
    assert registry.find("other", "billing", call.record.call_id) is None
    assert registry.find("acme", "billing", "another") is None
    assert registry.find_shared("acme", "sales", CONTACT) is None


async def test_the_newest_call_with_a_shared_id_is_found() -> None:
    registry, (first, second) = _calls(2)
    assert registry.find_shared("acme", "billing", CONTACT) is second
    registry.remove(second)
    assert registry.find_shared("acme", "billing", CONTACT) is first
    registry.remove(first)
    assert registry.find_shared("acme", "billing", CONTACT) is None


async def test_a_projects_calls_are_listed_newest_first() -> None:
    registry, calls = _calls(3)
    assert registry.of_project("acme", "billing") == calls[::-1]
    assert registry.of_project("acme", "sales") == []
    assert registry.all() == calls
    assert len(registry) == 3


async def test_a_call_with_a_new_shared_id_is_not_found_by_the_old_one() -> None:
    registry, (first, second) = _calls(2)
    registry.share_as(second, "crm-1")
    assert registry.find_shared("acme", "billing", "crm-1") is second
    assert registry.find_shared("acme", "billing", CONTACT) is first


async def test_a_call_may_be_removed_twice() -> None:
    registry, (first, second) = _calls(2)
    registry.remove(first)
    registry.remove(first)
    assert registry.all() == [second]
    assert registry.find_shared("acme", "billing", CONTACT) is second
