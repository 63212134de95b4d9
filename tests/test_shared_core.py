from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipbridge import shared_core
from sipbridge.shared_core import SharedCore

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
ALL = os.sched_getaffinity(0)


class Threads:
    """Two threads that wait, or use a core."""

    def __init__(self) -> None:
        self.urgent = False
        self._end = threading.Event()
        self._work = threading.Event()
        self.started = [threading.Thread(target=self._run) for _ in range(2)]
        for thread in self.started:
            thread.start()

    def _run(self) -> None:
        self._work.wait()
        while not self._end.is_set():
            pass

    def is_urgent(self) -> bool:
        return self.urgent

    def work(self) -> None:
        self._work.set()

    def end(self) -> None:
        self._end.set()
        self._work.set()
        for thread in self.started:
            thread.join()

    @property
    def cores(self) -> list[set[int]]:
        """The cores that each of them may use."""
        return [os.sched_getaffinity(thread.native_id or 0) for thread in self.started]

    @property
    def share_one(self) -> bool:
        first, second = self.cores
        return first == second and len(first) == 1


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.end()


@pytest.fixture
def core(threads: Threads) -> SharedCore:
    return SharedCore(threads.started, threads.is_urgent)


def test_threads_with_little_to_do_share_a_core(threads: Threads, core: SharedCore) -> None:
    core.review(0.1)
    assert threads.share_one


def test_they_keep_it_until_it_is_hardly_enough(threads: Threads, core: SharedCore) -> None:
    core.review(0.1)
    core.review(0.8)
    assert threads.share_one
    core.review(0.95)
    assert threads.cores == [ALL, ALL]


def test_they_share_one_again_only_when_it_is_clearly_enough(threads: Threads, core: SharedCore) -> None:
    core.review(0.1)
    core.review(0.95)
    core.review(0.8)
    assert threads.cores == [ALL, ALL]
    core.review(0.5)
    assert threads.share_one


def test_they_share_none_while_they_must_not_wait(threads: Threads, core: SharedCore) -> None:
    core.review(0.1)
    threads.urgent = True
    core.review(0.1)
    core.review(0)
    assert threads.cores == [ALL, ALL]
    threads.urgent = False
    core.review(0.1)
    assert threads.share_one


def test_threads_that_have_been_busy_from_the_start_share_none(threads: Threads, core: SharedCore) -> None:
    core.review(1.5)
    assert threads.cores == [ALL, ALL]


def test_a_core_that_the_system_refuses_is_tried_again(
    threads: Threads, core: SharedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    with monkeypatch.context() as refusing:
        refusing.setattr(os, "sched_setaffinity", refuse)
        core.review(0.1)
    assert threads.cores == [ALL, ALL]
    core.review(0.1)
    assert threads.share_one


async def test_the_review_measures_what_the_threads_use(
    threads: Threads, core: SharedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[float] = []
    reviewed = asyncio.Event()

    def review(load: float) -> None:
        loads.append(load)
        if len(loads) == 2:
            reviewed.set()

    monkeypatch.setattr(shared_core, "REVIEW_SECONDS", 0.2)
    monkeypatch.setattr(core, "review", review)
    running = asyncio.create_task(core.run())
    threads.work()
    await reviewed.wait()
    running.cancel()
    assert loads[0] == 0
    assert 0.2 < loads[1] < 1.1  # each waits for the other half of the time, for Python's lock


async def test_threads_share_no_core_if_the_kernel_does_not_count_their_load(
    threads: Threads, core: SharedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)
    await core.run()
    assert threads.cores == [ALL, ALL]


async def test_at_the_end_the_threads_may_use_all_cores_again(threads: Threads, core: SharedCore) -> None:
    running = asyncio.create_task(core.run())
    await asyncio.sleep(0)
    assert threads.share_one
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert threads.cores == [ALL, ALL]
