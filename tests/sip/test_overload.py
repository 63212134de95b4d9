from __future__ import annotations

from dataclasses import dataclass

from sipbridge.sip.overload import (
    ALERT_SECONDS,
    FORGOTTEN_SECONDS,
    LOOP_SECONDS,
    PATIENCE_SECONDS,
    SOCKET_BYTES,
    Overload,
)

MOMENT = 0.001


@dataclass
class Queues:
    """The lengths of the two queues, and the time."""

    lag: float = 0.0
    waiting: int = 0
    now: float = 0.0

    def overload(self) -> Overload:
        return Overload(lambda: self.lag, lambda: self.waiting, clock=lambda: self.now)


def test_empty_queues_are_not_an_overload() -> None:
    assert not Queues().overload()()


def test_an_event_loop_that_stays_late_is_an_overload_until_it_has_caught_up() -> None:
    queues = Queues(lag=LOOP_SECONDS + MOMENT)
    overloaded = queues.overload()
    assert not overloaded()
    queues.now += PATIENCE_SECONDS + MOMENT
    assert overloaded()
    queues.lag = LOOP_SECONDS
    assert not overloaded()


def test_a_machine_that_paused_for_a_moment_is_not_overloaded() -> None:
    queues = Queues()
    overloaded = queues.overload()
    assert not overloaded()
    queues.now += 0.5
    queues.lag = 0.5
    assert not overloaded()


def test_a_burst_of_calls_is_not_an_overload() -> None:
    queues = Queues(waiting=10 * SOCKET_BYTES)
    overloaded = queues.overload()
    assert not overloaded()
    queues.now += PATIENCE_SECONDS
    assert not overloaded()


def test_two_bursts_with_a_pause_are_not_an_overload() -> None:
    queues = Queues(waiting=10 * SOCKET_BYTES)
    overloaded = queues.overload()
    assert not overloaded()
    queues.now += FORGOTTEN_SECONDS + MOMENT
    assert not overloaded()


def test_a_socket_that_stays_full_is_an_overload_until_it_has_been_read() -> None:
    queues = Queues(waiting=SOCKET_BYTES + 1)
    overloaded = queues.overload()
    assert not overloaded()
    queues.now += PATIENCE_SECONDS + MOMENT
    assert overloaded()
    queues.waiting = SOCKET_BYTES
    assert not overloaded()


def test_soon_after_a_rejection_an_overload_is_detected_without_delay() -> None:
    queues = Queues(waiting=SOCKET_BYTES + 1)
    overloaded = queues.overload()
    overloaded()
    queues.now += PATIENCE_SECONDS + MOMENT
    assert overloaded()
    for _ in range(3):
        queues.waiting = SOCKET_BYTES
        assert not overloaded()
        queues.now += ALERT_SECONDS - MOMENT
        queues.waiting += 1
        assert overloaded()
    queues.now += ALERT_SECONDS
    assert not overloaded()
