from __future__ import annotations

from datetime import timedelta

import pytest

from sipbridge.store.sqlite.clock import Clock

START = 1_800_000_000.0
HOUR = 3600.0
YEAR = 365 * 24 * HOUR


class Machine:
    """The two clocks of a machine."""

    wall = START
    steady = 1000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    clocks = Machine()
    monkeypatch.setattr("sipbridge.store.sqlite.clock.time.time", lambda: clocks.wall)
    monkeypatch.setattr("sipbridge.store.sqlite.clock.time.clock_gettime", lambda _: clocks.steady)
    return clocks


def seconds(microseconds: int) -> float:
    return microseconds / 1e6 - START


def test_a_normal_clock_is_followed(machine: Machine) -> None:
    it = Clock(timedelta(hours=24))
    machine.passes(HOUR)
    it.watch()
    assert (seconds(it.earliest()), seconds(it.latest())) == (HOUR, HOUR)


def test_a_drifting_clock_is_followed(machine: Machine) -> None:
    it = Clock(timedelta(hours=24))
    for _ in range(100):
        machine.passes(HOUR)
        machine.wall += 10
        it.watch()
    assert seconds(it.earliest()) == seconds(it.latest()) == 100 * (HOUR + 10)


@pytest.mark.parametrize("step", [YEAR, -YEAR, 5 * HOUR])
def test_a_step_changes_no_age(machine: Machine, step: float, caplog: pytest.LogCaptureFixture) -> None:
    it = Clock(timedelta(hours=24))
    machine.wall += step
    it.watch()
    assert (seconds(it.earliest()), seconds(it.latest())) == (min(0, step), max(0, step))
    assert f"system clock changed by {step:+.0f} s" in caplog.text
    machine.passes(HOUR)
    machine.wall -= step
    it.watch()
    assert seconds(it.earliest()) == seconds(it.latest()) == HOUR


def test_a_step_is_accepted_after_the_doubt_and_not_before(machine: Machine) -> None:
    it = Clock(timedelta(hours=24))
    machine.wall += YEAR
    it.watch()
    machine.passes(23.9 * HOUR)
    it.watch()
    assert seconds(it.earliest()) == pytest.approx(23.9 * HOUR)
    machine.passes(0.2 * HOUR)
    it.watch()
    assert seconds(it.earliest()) == pytest.approx(YEAR + 24.1 * HOUR)


def test_a_second_step_is_doubted_again(machine: Machine) -> None:
    it = Clock(timedelta(hours=24))
    machine.wall += YEAR
    it.watch()
    machine.passes(23 * HOUR)
    machine.wall += YEAR
    it.watch()
    machine.passes(23 * HOUR)
    it.watch()
    assert seconds(it.earliest()) == pytest.approx(46 * HOUR)
