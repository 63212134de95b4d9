"""Helpers for asyncio. They are on the path of every call, so they are cheap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar
from weakref import WeakMethod

T = TypeVar("T")
P = ParamSpec("P")


async def wait_any(*awaited: asyncio.Future[Any], timeout: float | None = None) -> None:  # noqa: ASYNC109 (as asyncio.wait)
    """Return when one of the futures is done, or after `timeout` seconds. None is cancelled; no result is retrieved.

    `asyncio.wait` does the same, with sets and checks that cost ten times as much.
    """
    for future in awaited:
        if future.done():
            return
    # Not asyncio.get_running_loop, which asks the kernel for the process id each time.
    loop = awaited[0].get_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake(_done: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    timer = None if timeout is None else loop.call_later(timeout, wake)
    for future in awaited:
        future.add_done_callback(wake)
    try:
        await woken
    finally:
        if timer is not None:
            timer.cancel()
        for future in awaited:
            future.remove_done_callback(wake)


class interrupt_on:  # noqa: N801 (used like a verb, as contextlib.suppress)
    """`async with interrupt_on(done, error):` runs its body in this task, and raises `error` as soon as `done` is done.

    It works like `asyncio.timeout`: the body is cancelled, and the cancellation becomes the error. With a second future
    in `also`, it does so if either is done. With a `timeout` in seconds it raises `TimeoutError` after that time. Both
    cost less than another context manager beside it would.
    """

    def __init__(
        self,
        done: asyncio.Future[Any],
        error: Exception,
        *,
        also: asyncio.Future[Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        self._done = done
        self._also = also
        self._error = error
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._interrupted = False

    async def __aenter__(self) -> Self:
        if self._done.done() or (self._also is not None and self._also.done()):
            raise self._error
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("interrupt_on needs a task")
        self._task: asyncio.Task[Any] | None = task
        self._done.add_done_callback(self._interrupt)
        if self._also is not None:
            self._also.add_done_callback(self._interrupt)
        if self._timeout is not None:
            self._timer = self._done.get_loop().call_later(self._timeout, self._time_out)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self._done.remove_done_callback(self._interrupt)
        if self._also is not None:
            self._also.remove_done_callback(self._interrupt)
        if self._timer is not None:
            self._timer.cancel()
        if not self._interrupted or task is None:
            return
        # If something else has cancelled the task as well, it stays cancelled.
        if task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self._error

    def _interrupt(self, _done: object) -> None:
        # A callback that was already scheduled when the body ended finds no task.
        if self._task is not None and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    def _time_out(self) -> None:
        if not self._interrupted:
            self._error = TimeoutError()
            self._interrupt(None)


async def cancel_and_wait(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait until it is done. Its exception is ignored."""
    if task.cancel():
        await wait_any(task)
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not log it


def independent_task(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """Run a coroutine as a task that outlives its requester, who awaits it by `asyncio.shield`.

    If no requester awaits it any more, its exception is dropped: asyncio would log it.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_retrieve)
    return task


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def weakly(method: Callable[P, T]) -> Callable[P, T]:
    """Return a bound method that does not keep its object in memory.

    An object gives it to its own parts. They would refer to it, and it to them: a cycle, for which memory waits until
    the garbage collector runs. Without the object a call raises `ReferenceError`.
    """
    reference = WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = reference()
        if bound is None:
            raise ReferenceError("the object of the method was freed")
        return bound(*args, **kwargs)

    return call


def resolve_futures(futures: Sequence[asyncio.Future[T]], result: T | Exception) -> None:
    """Give futures of one event loop a result or an exception, from any thread.

    Futures that are done stay as they are. If the loop is closed, nothing waits for them any more.
    """
    if futures:
        with suppress(RuntimeError):  # the loop is closed
            futures[0].get_loop().call_soon_threadsafe(_resolve_all, futures, result)


def _resolve_all(futures: Sequence[asyncio.Future[T]], result: T | Exception) -> None:
    for future in futures:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


class BackgroundTasks:
    """Tasks whose results are not needed. asyncio itself references a running task only weakly."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task and keep the task until it is done."""
        return self.keep(asyncio.create_task(work))

    def keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Keep a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel all tasks; do not wait for them."""
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Wait until the tasks that run now are done."""
        for task in list(self._tasks):
            await wait_any(task)
