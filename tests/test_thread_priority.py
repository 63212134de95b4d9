from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sipbridge.thread_priority import ask_for_real_time, is_permitted


def _policies() -> tuple[int, int]:
    """The scheduling policies of this thread and of one that it starts."""
    with ThreadPoolExecutor(1) as threads:
        started = threads.submit(os.sched_getscheduler, 0).result()
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, started


def _in_a_thread(ask: Callable[[], bool]) -> tuple[bool, tuple[int, int]]:
    """Ask in a thread of its own, so that this process keeps its priority."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: (ask(), _policies())).result()


@pytest.fixture
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.usefixtures("_two_cores")
def test_the_thread_has_real_time_priority_if_permitted_and_those_that_it_starts_never() -> None:
    has, (own, started) = _in_a_thread(ask_for_real_time)
    assert (own, started) == (os.SCHED_RR if has else os.SCHED_OTHER, os.SCHED_OTHER)


@pytest.mark.usefixtures("_two_cores")
def test_the_thread_asks_for_the_lowest_real_time_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *of: asked.append((of[0], of[1], of[2].sched_priority)))
    assert ask_for_real_time()
    assert asked == [(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1)]


@pytest.mark.usefixtures("_two_cores")
def test_a_refusal_leaves_the_priority_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert _in_a_thread(ask_for_real_time) == (False, (os.SCHED_OTHER, os.SCHED_OTHER))


def test_a_process_with_one_core_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert _in_a_thread(ask_for_real_time) == (False, (os.SCHED_OTHER, os.SCHED_OTHER))


def test_the_check_tries_the_priority_of_the_media_clock_in_a_thread_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *of: asked.append(of[2].sched_priority))
    assert is_permitted()
    assert asked == [2]


def test_the_check_finds_a_refusal_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    is_permitted()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not is_permitted()
