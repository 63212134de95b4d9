from __future__ import annotations

import pytest

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.cxone.breaker import Breaker

from .conftest import MakeCentre
from .support import Clock, Simulator, ignore_note


def opened(clock: Clock, retry_after: float | None = None) -> Breaker:
    breaker = Breaker("acme", clock=clock)
    for _ in range(5):
        breaker.record_failure(retry_after)
    return breaker


def test_the_breaker_opens_at_the_fifth_failure_in_a_row(clock: Clock) -> None:
    breaker = Breaker("acme", clock=clock)
    for _ in range(4):
        breaker.record_failure()
    assert breaker.admits()
    breaker.record_failure()
    assert not breaker.admits()


def test_a_response_in_between_resets_the_count(clock: Clock) -> None:
    breaker = Breaker("acme", clock=clock)
    for _ in range(4):
        breaker.record_failure()
    breaker.record_response()
    breaker.record_failure()
    assert breaker.admits()


def test_one_probe_is_admitted_after_ten_seconds(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(9.9)
    assert not breaker.admits()
    clock.advance(0.2)
    assert breaker.admits()
    assert not breaker.admits()


def test_a_successful_probe_closes_the_breaker(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.admits()
    breaker.record_response()
    assert breaker.admits()
    assert breaker.admits()


def test_a_failed_probe_keeps_the_breaker_open_for_ten_seconds_more(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.admits()
    breaker.record_failure()
    clock.advance(9.9)
    assert not breaker.admits()
    clock.advance(0.2)
    assert breaker.admits()


def test_a_probe_without_a_result_is_followed_by_another(clock: Clock) -> None:
    breaker = opened(clock)
    clock.advance(10)
    assert breaker.admits()
    clock.advance(10)
    assert breaker.admits()


@pytest.mark.parametrize(("retry_after", "open_for"), [(3, 10), (42, 42), (86_400, 300)])
def test_the_breaker_respects_retry_after_within_a_limit(clock: Clock, retry_after: float, open_for: float) -> None:
    breaker = opened(clock, retry_after)
    clock.advance(open_for - 0.1)
    assert not breaker.admits()
    clock.advance(0.2)
    assert breaker.admits()


async def test_signals_are_undelivered_at_once_while_the_breaker_is_open(
    make_client: MakeCentre, simulator: Simulator, clock: Clock
) -> None:
    cxone = make_client()
    await simulator.fault("signal", status=504, times=5)
    for _ in range(5):
        assert await cxone.signal("1", {}, ignore_note) is SignalResult.UNKNOWN
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {"504": 5}

    clock.advance(10)
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.ACCEPTED
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.ACCEPTED


async def test_the_retry_after_of_a_busy_cxone_holds_signals_back(
    make_client: MakeCentre, simulator: Simulator, clock: Clock
) -> None:
    cxone = make_client()
    await simulator.fault("signal", status=429, retry_after=60, times=5)
    for _ in range(6):
        assert await cxone.signal("1", {}, ignore_note) is SignalResult.UNDELIVERED
    clock.advance(59)
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {"429": 5}
    clock.advance(1)
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.ACCEPTED


async def test_a_signal_that_waits_for_a_retry_gives_up_when_the_breaker_opens(
    make_client: MakeCentre, simulator: Simulator
) -> None:
    cxone = make_client()
    await simulator.fault("signal", status=504, times=4)
    for _ in range(4):
        await cxone.signal("1", {}, ignore_note)
    await simulator.fault("signal", status=503)
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.UNDELIVERED
    assert await simulator.requests("signal") == {"504": 4, "503": 1}


async def test_a_missing_token_counts_as_a_failure_and_an_open_breaker_requests_none(
    make_client: MakeCentre, simulator: Simulator
) -> None:
    cxone = make_client()
    await simulator.fault("token", status=400, times=None)
    for _ in range(7):
        assert await cxone.signal("1", {}, ignore_note) is SignalResult.UNDELIVERED
    assert await simulator.requests("token") == {"400": 5}


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_refusals_and_script_errors_do_not_open_the_breaker(
    make_client: MakeCentre, simulator: Simulator, status: int
) -> None:
    cxone = make_client()
    await simulator.fault("signal", status=status, times=8)
    for _ in range(8):
        await cxone.signal("1", {}, ignore_note)
    assert await cxone.signal("1", {}, ignore_note) is SignalResult.ACCEPTED


async def test_each_client_has_its_own_breaker(make_client: MakeCentre, refusing_address: str) -> None:
    broken = make_client("broken", api_url=f"http://{refusing_address}")
    for _ in range(2):
        await broken.signal("1", {}, ignore_note)
    assert await broken.signal("1", {}, ignore_note) is SignalResult.UNDELIVERED
    assert await make_client("sound").signal("1", {}, ignore_note) is SignalResult.ACCEPTED
