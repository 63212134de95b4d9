"""The wait of a put for its writer, which fails."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest

from sipbridge.errors import CallTakenOver, StoreError
from sipbridge.store.calls.backlog import Backlog
from sipbridge.store.calls.puts import Puts
from sipbridge.store.calls.rows import to_row
from sipbridge.store.calls.settling import Settling, notify_on_loop
from tests.store.records import make_record

Fail = Callable[[Settling, Backlog], None]


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Caller:
    """An object that the frames of a waiting put keep in memory."""


def fails(settling: Settling, _: Backlog) -> None:
    settling.failed("disk full")


def is_superseded(settling: Settling, backlog: Backlog) -> None:
    settling.superseded(backlog.next_batch().entries)


def does_not_respond(_: Settling, __: Backlog) -> None:
    pass


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize(
    ("end", "error"), [(fails, StoreError), (is_superseded, CallTakenOver), (does_not_respond, StoreError)]
)
async def test_a_put_that_fails_leaves_nothing_for_the_garbage_collector(end: Fail, error: type[StoreError]) -> None:
    """Also while its record waits: the call that has put it has ended."""
    backlog = Backlog()
    settling = Settling(backlog, notify_on_loop(None))
    puts = Puts(backlog, settling, lambda: None, timeout=0.05)
    await released(lambda: puts.put(to_row(make_record(), 0), urgent=True), lambda: end(settling, backlog), error)


@pytest.mark.usefixtures("_without_collector")
async def test_an_erasure_that_fails_leaves_nothing_for_the_garbage_collector() -> None:
    backlog = Backlog()
    settling = Settling(backlog, notify_on_loop(None))
    puts = Puts(backlog, settling, lambda: None)
    await released(
        lambda: puts.erase("acme", "billing", "call_id", "call-1"), lambda: settling.failed("disk full"), StoreError
    )


async def released(begin: Callable[[], Awaitable[object]], end: Callable[[], None], error: type[StoreError]) -> None:
    """Wait for something that `end` lets fail with an error, and check that its frames are freed."""
    seen: list[weakref.ref[Caller]] = []

    async def call() -> str:
        caller = Caller()
        seen.append(weakref.ref(caller))
        try:
            await begin()
        except StoreError as raised:
            return type(raised).__name__
        return ""

    running = asyncio.create_task(call())
    await asyncio.sleep(0)
    end()
    assert await running == error.__name__
    assert seen[0]() is None


async def test_each_put_gets_an_error_of_its_own() -> None:
    backlog = Backlog()
    settling = Settling(backlog, notify_on_loop(None))
    puts = Puts(backlog, settling, lambda: None)
    putting = [asyncio.ensure_future(puts.put(to_row(make_record(name), 0), urgent=True)) for name in "ab"]
    await asyncio.sleep(0)
    settling.failed("disk full")
    first, second = await asyncio.gather(*putting, return_exceptions=True)
    assert str(first) == str(second) == "disk full"
    assert first is not second
