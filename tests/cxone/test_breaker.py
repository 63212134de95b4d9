from __future__ import annotations

import pytest

from sipbridge.calls.ports import SignalResult
from sipbridge.cxone.breaker import Breaker

from .conftest import MakeCentre
from .support import Clock, Simulator, unnoted


def opened(clock: Clock, retry_after: float | None = None) -> Breaker:
    breaker = Breaker("acme", clock=clock)
    for _ in range(5):
        breaker.record_failure(retry_after)
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row(clock: Clock) -> None:
    breaker = Breaker("acme", clock=clock)
    for _ in range(4):
        breaker.record_failure()
    assert breaker.admits()
    breaker.record_failure()
    assert not breaker.admits()


def test_an_answer_in_between_starts_the_count_anew(clock: Clock) -> None:
    breaker = Breaker("acme", clock=clock)
    for _ in range(4):
        breaker.record_failure()
    breaker.record_response()
    breaker.record_failure()
    assert breaker.admits()


def test_after_ten_seconds_one_probe_passes(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(9.9)
    assert not breaker.admits()
    clock.advance(0.2)
    assert breaker.admits()
    assert not breaker.admits()


def test_a_good_probe_closes_it(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.admits()
    breaker.record_response()
    assert breaker.admits()
    assert breaker.admits()


def test_a_failed_probe_keeps_it_open_for_ten_seconds_more(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.admits()
    breaker.record_failure()
    clock.advance(9.9)
    assert not breaker.admits()
    clock.advance(0.2)
    assert breaker.admits()


def test_a_probe_that_never_reports_is_followed_by_another(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.admits()
    clock.advance(10)
    assert breaker.admits()


@pytest.mark.parametrize(("retry_after", "open_for"), [(3, 10), (42, 42), (86_400, 300)])
def test_it_stays_open_for_what_cxone_asks_to_wait_within_reason(
    clock: Clock, retry_after: float, open_for: float
) -> None:
    breaker = opened(clock, retry_after)
    clock.advance(open_for - 0.1)
    assert not breaker.admits()
    clock.advance(0.2)
    assert breaker.admits()


async def test_while_it_is_open_signals_are_undelivered_at_once(
    make_centre: MakeCentre, simulator: Simulator, clock: Clock
) -> None:
    centre = make_centre()
    await simulator.fault("signal", status=504, times=5)
    for _ in range(5):
        assert await centre.signal("1", {}, unnoted) is SignalResult.UNKNOWN
    assert await centre.signal("1", {}, unnoted) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {"504": 5}

    clock.advance(10)
    assert await centre.signal("1", {}, unnoted) is SignalResult.ACCEPTED
    assert await centre.signal("1", {}, unnoted) is SignalResult.ACCEPTED


async def test_retry_after_of_a_busy_cxone_keeps_signals_back_for_so_long(
    make_centre: MakeCentre, simulator: Simulator, clock: Clock
) -> None:
    centre = make_centre()
    await simulator.fault("signal", status=429, retry_after=60, times=5)
    for _ in range(6):
        assert await centre.signal("1", {}, unnoted) is SignalResult.UNDELIVERED
    clock.advance(59)
    assert await centre.signal("1", {}, unnoted) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {"429": 5}
    clock.advance(1)
    assert await centre.signal("1", {}, unnoted) is SignalResult.ACCEPTED


async def test_a_signal_that_waits_to_be_repeated_gives_up_when_it_opens(
    make_centre: MakeCentre, simulator: Simulator
) -> None:
    centre = make_centre()
    await simulator.fault("signal", status=504, times=4)
    for _ in range(4):
        await centre.signal("1", {}, unnoted)
    await simulator.fault("signal", status=503)
    assert await centre.signal("1", {}, unnoted) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {"504": 4, "503": 1}


async def test_no_token_counts_as_a_failure_and_an_open_breaker_asks_for_none(
    make_centre: MakeCentre, simulator: Simulator
) -> None:
    centre = make_centre()
    await simulator.fault("token", status=400, times=None)
    for _ in range(7):
        assert await centre.signal("1", {}, unnoted) is SignalResult.UNDELIVERED
    assert await simulator.requests("token") == {"400": 5}


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_refusals_and_faults_of_a_script_do_not_open_it(
    make_centre: MakeCentre, simulator: Simulator, status: int
) -> None:
    centre = make_centre()
    await simulator.fault("signal", status=status, times=8)
    for _ in range(8):
        await centre.signal("1", {}, unnoted)
    assert await centre.signal("1", {}, unnoted) is SignalResult.ACCEPTED


async def test_one_client_s_breaker_is_not_another_s(make_centre: MakeCentre, refusing_address: str) -> None:
    broken = make_centre("broken", api_url=f"http://{refusing_address}")
    for _ in range(2):
        await broken.signal("1", {}, unnoted)
    assert await broken.signal("1", {}, unnoted) is SignalResult.UNDELIVERED
    assert await make_centre("sound").signal("1", {}, unnoted) is SignalResult.ACCEPTED
