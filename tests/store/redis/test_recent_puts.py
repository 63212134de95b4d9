"""The puts that are written again after a failover: which are kept, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.store.calls.backlog import Entry, Erasure
from sipbridge.store.calls.rows import to_row
from sipbridge.store.redis import recent_puts
from sipbridge.store.redis.recent_puts import KEPT_SECONDS, RecentPuts
from tests.store.records import make_record


def entry(call_id: str, number: int = 1) -> Entry:
    return Entry(number, to_row(make_record(call_id), 0), [])


def numbers(puts: RecentPuts) -> list[tuple[str, int]]:
    """Return the puts that are written again, by call and number."""
    puts.write_again()
    return [(each.row.call_id, each.number) for each in puts.due(100)]


def test_only_the_newest_put_of_a_call_is_kept() -> None:
    puts = RecentPuts()
    puts.add([entry("call-1", 1), entry("call-2", 2), entry("call-1", 3)])
    assert numbers(puts) == [("call-2", 2), ("call-1", 3)]


def test_an_older_put_that_is_settled_late_replaces_none() -> None:
    puts = RecentPuts()
    puts.add([entry("call-1", 3)])
    puts.add([entry("call-1", 2)])
    assert numbers(puts) == [("call-1", 3)]


def test_old_puts_are_forgotten_even_if_no_other_follows() -> None:
    now = [0.0]
    puts = RecentPuts(lambda: now[0])
    puts.add([entry("call-1")])
    now[0] += KEPT_SECONDS
    assert numbers(puts) == []


def test_old_puts_and_too_many_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    puts = RecentPuts(lambda: now[0])
    puts.add([entry("call-1")])
    now[0] += KEPT_SECONDS
    puts.add([entry("call-2"), entry("call-3")])
    assert numbers(puts) == [("call-2", 1), ("call-3", 1)]
    monkeypatch.setattr(recent_puts, "MAX_KEPT", 2)
    puts.add([entry("call-4")])
    assert numbers(puts) == [("call-3", 1), ("call-4", 1)]


def test_long_records_are_kept_up_to_a_number_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    length = len(entry("call-1").row.body)
    monkeypatch.setattr(recent_puts, "MAX_CHARACTERS", 3 * length)
    puts = RecentPuts()
    for _ in range(3):  # each replaces the one before it
        puts.add([entry("call-1"), entry("call-2"), entry("call-3")])
    assert len(puts) == 3
    puts.add([entry("call-4")])
    assert numbers(puts) == [("call-2", 1), ("call-3", 1), ("call-4", 1)]


async def test_a_kept_put_has_no_futures() -> None:
    puts = RecentPuts()
    puts.add([entry("call-1")._replace(waiters=[asyncio.get_running_loop().create_future()])])
    puts.write_again()
    assert puts.due(1)[0].waiters == []


async def test_what_was_put_or_erased_meanwhile_is_not_written_again() -> None:
    puts = RecentPuts()
    puts.add([entry("call-1", 1), entry("call-2", 2), entry("call-3", 3)])
    puts.write_again()
    puts.add([entry("call-1", 4)])
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    puts.erase(Erasure(5, "acme", "billing", "call_id", "call-2", done))
    assert [each.row.call_id for each in puts.due(10)] == ["call-3"]
    puts.written_again(puts.due(10))
    assert not puts.has_due
