from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import NoReturn

import pytest

from sipbridge.errors import StartupError
from sipbridge.sip.thread import GATHER_MILLISECONDS, CallEvent, SipThread
from tests.fakes.pjsip import FakePjsip


def fail() -> NoReturn:
    raise ValueError("a fault of ours")


@pytest.fixture
def handled() -> list[list[CallEvent]]:
    return []


@pytest.fixture
async def thread(pjsip: FakePjsip, handled: list[list[CallEvent]]) -> AsyncIterator[SipThread]:
    thread = SipThread(asyncio.get_running_loop(), handled.append, pjsip)
    await thread.start(lambda: None, lambda: None)
    yield thread
    await thread.stop()


async def test_everything_runs_on_one_thread_of_its_own(pjsip: FakePjsip) -> None:
    threads: list[int] = []

    def note(_events: object = None) -> None:
        threads.append(threading.get_ident())

    thread = SipThread(asyncio.get_running_loop(), note, pjsip)
    await thread.start(note, note)
    await thread.run(note)
    await thread.stop()
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


async def test_a_command_returns_its_result_or_raises_its_error(thread: SipThread) -> None:
    assert await thread.run(lambda: 5) == 5
    with pytest.raises(ValueError, match="a fault of ours"):
        await thread.run(fail)


async def test_commands_run_in_the_order_in_which_they_were_sent(thread: SipThread) -> None:
    done: list[int] = []
    for number in range(50):
        thread.post(partial(done.append, number))
    await thread.run(lambda: None)
    assert done == list(range(50))


async def test_a_command_that_fails_stops_no_other(thread: SipThread, caplog: pytest.LogCaptureFixture) -> None:
    thread.post(fail)
    assert await thread.run(lambda: 5) == 5
    assert "a command to the SIP thread failed" in caplog.text


async def test_a_cancelled_command_is_executed_all_the_same(thread: SipThread) -> None:
    executed = threading.Event()
    thread.run(executed.set).cancel()
    await thread.run(lambda: None)
    assert executed.is_set()


async def test_events_are_handled_before_the_commands_of_their_turn(
    thread: SipThread, pjsip: FakePjsip, handled: list[list[CallEvent]]
) -> None:
    pjsip.queue_event(3, 7, 1, 200, "text", final=False)
    await thread.run(lambda: None)
    assert [event for turn in handled for event in turn] == [CallEvent(3, 7, 1, 200, "text", final=False)]


@pytest.mark.parametrize(("slots", "gather"), [((7, 7), 0), ((7, 8), GATHER_MILLISECONDS)])
async def test_a_turn_waits_for_others_only_after_one_that_served_several_calls(
    thread: SipThread, pjsip: FakePjsip, handled: list[list[CallEvent]], slots: tuple[int, int], gather: int
) -> None:
    def queue() -> None:
        for slot in slots:
            pjsip.queue_event(3, slot)

    pjsip.on_poll(queue)
    for _ in range(4):  # turns with one command each
        await thread.run(lambda: None)
    turn = [len(events) for events in handled].index(len(slots))
    assert pjsip.gathers[turn : turn + 3] == [0, gather, 0]


async def test_callbacks_run_on_the_loop_in_order_and_one_that_fails_stops_no_other(
    thread: SipThread, caplog: pytest.LogCaptureFixture
) -> None:
    notified: list[tuple[int, int]] = []

    def note(number: int) -> None:
        notified.append((number, threading.get_ident()))

    def notify() -> None:
        thread.notify_loop(fail)
        for number in range(3):
            thread.notify_loop(partial(note, number))

    await thread.run(notify)
    assert notified == [(number, threading.get_ident()) for number in range(3)]
    assert "a callback of the SIP thread failed" in caplog.text


async def test_the_lag_of_the_loop_is_the_age_of_the_oldest_callbacks(thread: SipThread) -> None:
    handed_over, measured = threading.Event(), threading.Event()
    lags: list[float] = []

    def measure() -> None:
        lags.append(thread.loop_lag())
        measured.set()

    assert thread.loop_lag() == 0
    thread.post(lambda: thread.notify_loop(lambda: None))
    thread.post(lambda: thread.post(handed_over.set))  # in the turn after it
    handed_over.wait(5)  # the loop stands still meanwhile
    thread.post(measure)
    measured.wait(5)
    assert lags[0] > 0
    await thread.run(lambda: None)
    assert thread.loop_lag() == 0


async def test_an_endpoint_that_cannot_be_opened_is_closed_and_its_error_raised(pjsip: FakePjsip) -> None:
    closed = threading.Event()

    def refuse() -> NoReturn:
        raise StartupError("sip.listen: cannot be opened")

    thread = SipThread(asyncio.get_running_loop(), lambda _: None, pjsip)
    with pytest.raises(StartupError, match=r"sip\.listen"):
        await thread.start(refuse, closed.set)
    assert closed.is_set()
    await thread.stop()


async def test_a_thread_that_was_not_started_can_be_stopped(pjsip: FakePjsip) -> None:
    await SipThread(asyncio.get_running_loop(), lambda _: None, pjsip).stop()


async def test_the_callbacks_of_closing_reach_the_loop(pjsip: FakePjsip) -> None:
    closed: list[bool] = []
    thread = SipThread(asyncio.get_running_loop(), lambda _: None, pjsip)
    await thread.start(lambda: None, lambda: thread.notify_loop(lambda: closed.append(True)))
    await thread.stop()
    await asyncio.sleep(0)
    assert closed == [True]
