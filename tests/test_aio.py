from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import Any

import pytest

from sipbridge.aio import (
    BackgroundTasks,
    cancel_and_wait,
    independent_task,
    interrupt_on,
    resolve_futures,
    wait_any,
    weakly,
)


async def test_wait_any_returns_when_the_first_future_is_done() -> None:
    loop = asyncio.get_running_loop()
    slow, quick = loop.create_future(), loop.create_future()
    loop.call_soon(quick.set_result, None)
    await wait_any(slow, quick)
    assert quick.done()
    assert not slow.done()


async def test_wait_any_neither_cancels_nor_raises() -> None:
    loop = asyncio.get_running_loop()
    slow, failed = loop.create_future(), loop.create_future()
    failed.set_exception(ValueError("looked at by the one who asks"))
    await wait_any(slow, failed)
    assert not slow.cancelled()
    with pytest.raises(ValueError, match="looked at"):
        failed.result()


async def test_wait_any_returns_after_its_timeout() -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await wait_any(never, timeout=0)
    assert not never.done()


async def test_cancel_and_wait_returns_when_the_task_has_cleaned_up() -> None:
    clean = False

    async def work() -> None:
        nonlocal clean
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            clean = True

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert clean
    assert task.cancelled()


async def test_cancel_and_wait_ignores_an_exception_of_the_cancelled_task() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("in the clean-up")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert task.done()


async def test_cancel_and_wait_does_not_change_a_finished_task() -> None:
    async def work() -> int:
        return 7

    task = asyncio.create_task(work())
    await task
    await cancel_and_wait(task)
    assert task.result() == 7


async def test_asyncio_logs_no_exception_of_a_task_that_had_failed_before() -> None:
    """asyncio logs exceptions that are never retrieved; this one is."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def work() -> None:
        raise ValueError("not retrieved")

    task = asyncio.create_task(work())
    await wait_any(task)
    await cancel_and_wait(task)
    del task
    gc.collect()
    assert complaints == []


async def test_a_cancellation_of_cancel_and_wait_itself_is_raised() -> None:
    reached, let_go = asyncio.Event(), asyncio.Event()

    async def slow_cleanup() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            reached.set()
            await let_go.wait()

    task = asyncio.create_task(slow_cleanup())
    await asyncio.sleep(0)
    cancelling = asyncio.create_task(cancel_and_wait(task))
    await reached.wait()
    cancelling.cancel()
    let_go.set()
    await asyncio.wait([cancelling, task])
    assert cancelling.cancelled()


# ---------------------------------------------------------------- an interrupted body


class Interrupted(Exception):
    """The error that interrupts the body."""


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def _no_cancellation_is_pending() -> bool:
    task = asyncio.current_task()
    assert task is not None
    await asyncio.sleep(0)
    return task.cancelling() == 0


async def test_a_body_that_ends_first_is_not_interrupted() -> None:
    done = _future()
    async with interrupt_on(done, Interrupted()):
        await asyncio.sleep(0)
    done.set_result(None)
    assert await _no_cancellation_is_pending()


async def test_a_body_is_interrupted_by_the_error() -> None:
    done = _future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    with pytest.raises(Interrupted):
        async with interrupt_on(done, Interrupted()):
            await asyncio.Event().wait()
    assert await _no_cancellation_is_pending()


async def test_if_the_future_is_already_done_the_body_never_begins() -> None:
    done = _future()
    done.set_result(None)
    began = False
    with pytest.raises(Interrupted):
        async with interrupt_on(done, Interrupted()):
            began = True
    assert not began
    assert await _no_cancellation_is_pending()


async def test_a_body_is_interrupted_if_the_second_future_is_done() -> None:
    done, also = _future(), _future()
    asyncio.get_running_loop().call_soon(also.set_result, None)
    with pytest.raises(Interrupted):
        async with interrupt_on(done, Interrupted(), also=also):
            await asyncio.Event().wait()
    assert await _no_cancellation_is_pending()
    with pytest.raises(Interrupted):
        async with interrupt_on(done, Interrupted(), also=also):
            raise AssertionError("the body begins")


async def test_two_futures_interrupt_a_body_once() -> None:
    done, also = _future(), _future()
    for future in (done, also):
        asyncio.get_running_loop().call_soon(future.set_result, None)
    with pytest.raises(Interrupted):
        async with interrupt_on(done, Interrupted(), also=also):
            await asyncio.Event().wait()
    assert await _no_cancellation_is_pending()


async def test_a_body_that_ends_first_is_not_interrupted_by_the_second_future() -> None:
    also = _future()
    async with interrupt_on(_future(), Interrupted(), also=also):
        await asyncio.sleep(0)
    also.set_result(None)
    assert await _no_cancellation_is_pending()


async def test_a_failed_future_interrupts_too() -> None:
    done = _future()
    asyncio.get_running_loop().call_soon(done.set_exception, ValueError("why is not asked"))
    with pytest.raises(Interrupted):
        async with interrupt_on(done, Interrupted()):
            await asyncio.Event().wait()
    assert done.exception()


async def test_an_error_of_the_body_is_raised_unchanged() -> None:
    with pytest.raises(ValueError, match="of the body"):
        async with interrupt_on(_future(), Interrupted()):
            raise ValueError("of the body")


async def test_an_error_in_the_cleanup_of_an_interrupted_body_is_raised_unchanged() -> None:
    done = _future()
    asyncio.get_running_loop().call_soon(done.set_result, None)

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("in the clean-up")

    with pytest.raises(ValueError, match="in the clean-up"):
        async with interrupt_on(done, Interrupted()):
            await body()
    assert await _no_cancellation_is_pending()


async def test_a_timeout_around_it_stays_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001), interrupt_on(_future(), Interrupted()):
            await asyncio.Event().wait()
    assert await _no_cancellation_is_pending()


async def test_a_body_that_takes_too_long_is_interrupted_by_a_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        async with interrupt_on(_future(), Interrupted(), timeout=0.001):
            await asyncio.Event().wait()
    assert await _no_cancellation_is_pending()


async def test_a_body_that_ends_in_time_is_not_interrupted_later() -> None:
    async with interrupt_on(_future(), Interrupted(), timeout=0.001):
        await asyncio.sleep(0)
    await asyncio.sleep(0.002)
    assert await _no_cancellation_is_pending()


@pytest.mark.parametrize("future_first", [True, False])
async def test_of_a_future_and_a_timeout_the_first_interrupts(*, future_first: bool) -> None:
    done, ended = _future(), asyncio.Event()

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:  # while the body ends, the other one comes too
            if future_first:
                await asyncio.sleep(0.002)
            else:
                done.set_result(None)
                await asyncio.sleep(0)
            ended.set()

    if future_first:
        asyncio.get_running_loop().call_soon(done.set_result, None)
    with pytest.raises(Interrupted if future_first else TimeoutError):
        async with interrupt_on(done, Interrupted(), timeout=0.001):
            await body()
    assert ended.is_set()
    assert await _no_cancellation_is_pending()


async def test_a_task_that_is_also_cancelled_from_outside_stays_cancelled() -> None:
    done = _future()

    async def work() -> None:
        async with interrupt_on(done, Interrupted()):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    done.set_result(None)
    await asyncio.sleep(0)
    assert task.cancelling() == 1, "cut short, and not yet over"
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_future_that_is_done_as_the_body_ends_leaves_no_cancellation() -> None:
    done, body = _future(), _future()
    loop = asyncio.get_running_loop()
    loop.call_soon(body.set_result, None)
    loop.call_soon(done.set_result, None)
    with contextlib.suppress(Interrupted):
        async with interrupt_on(done, Interrupted()):
            await body
    assert await _no_cancellation_is_pending()


# ---------------------------------------------------------------- futures resolved by another thread


async def test_a_thread_resolves_the_futures_that_are_not_done() -> None:
    first, cancelled, last = _future(), _future(), _future()
    cancelled.cancel()
    await asyncio.to_thread(resolve_futures, [first, cancelled, last], None)
    async with asyncio.timeout(5):
        await asyncio.gather(first, last)
    assert cancelled.cancelled()


async def test_a_thread_gives_futures_an_exception() -> None:
    future = _future()
    await asyncio.to_thread(resolve_futures, [future], ValueError("the disk failed"))
    with pytest.raises(ValueError, match="the disk failed"):
        async with asyncio.timeout(5):
            await future


def test_the_futures_of_a_closed_loop_are_not_resolved() -> None:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.close()
    resolve_futures([future], None)
    assert not future.done()


# ---------------------------------------------------------------- background tasks


async def test_background_tasks_are_kept_until_they_are_done() -> None:
    tasks, release, finished = BackgroundTasks(), asyncio.Event(), []

    async def work(name: str) -> None:
        await release.wait()
        finished.append(name)

    tasks.start(work("first"))
    tasks.start(work("second"))
    gc.collect()
    release.set()
    await tasks.wait()
    assert finished == ["first", "second"]


async def test_cancelled_background_tasks_clean_up_before_the_wait_ends() -> None:
    tasks, steps = BackgroundTasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("clean")

    task = tasks.start(work())
    await asyncio.sleep(0)
    tasks.cancel()
    await tasks.wait()
    assert (steps, task.cancelled()) == (["clean"], True)


class TestIndependentTask:
    async def test_task_outlives_its_requester_and_its_exception_is_not_logged(self) -> None:
        logged: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        go_on, done = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            await go_on.wait()
            done.set()
            raise ValueError("it failed")

        async def request() -> None:
            await asyncio.shield(independent_task(work()))

        requester = asyncio.create_task(request())
        await asyncio.sleep(0)
        requester.cancel()
        await asyncio.wait([requester])
        go_on.set()
        await done.wait()
        await asyncio.sleep(0)
        gc.collect()
        assert logged == []

    async def test_requester_gets_the_exception(self) -> None:
        async def work() -> None:
            raise ValueError("it failed")

        with pytest.raises(ValueError, match="it failed"):
            await asyncio.shield(independent_task(work()))


class Whole:
    """An object with a part that calls it."""

    def __init__(self) -> None:
        self.part = weakly(self.add)
        self.called: list[int] = []

    def add(self, number: int, *, twice: bool = False) -> int:
        self.called.append(number)
        return number * (2 if twice else 1)


def test_a_weak_method_calls_its_object_and_does_not_keep_it() -> None:
    whole = Whole()
    part = whole.part
    assert (part(2), part(3, twice=True), whole.called) == (2, 6, [2, 3])
    gc.disable()
    try:
        freed = weakref.ref(whole)
        del whole
        assert freed() is None
        with pytest.raises(ReferenceError):
            part(1)
    finally:
        gc.enable()
