from __future__ import annotations

import pytest

from sipbridge.rate_limit import RateLimiter


class Clock:
    """A monotonic clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_source_may_send_one_seconds_worth_at_once_and_no_more() -> None:
    rates = RateLimiter(3, Clock())
    assert [rates.allows("a") for _ in range(5)] == [True, True, True, False, False]


def test_a_bucket_refills_at_its_rate_up_to_one_seconds_worth() -> None:
    clock = Clock()
    rates = RateLimiter(4, clock)
    while rates.allows("a"):
        pass
    clock.now += 0.5
    assert [rates.allows("a") for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [rates.allows("a") for _ in range(5)] == [True, True, True, True, False]


def test_an_event_that_is_not_allowed_costs_nothing() -> None:
    clock = Clock()
    rates = RateLimiter(1, clock)
    assert rates.allows("a")
    for _ in range(8):
        clock.now += 0.0625
        assert not rates.allows("a")
    clock.now += 0.5
    assert rates.allows("a")


def test_a_refunded_event_is_not_counted() -> None:
    rates = RateLimiter(1, Clock())
    assert rates.allows("a")
    rates.refund("a")
    rates.refund("a")
    rates.refund("unknown")
    assert [rates.allows("a") for _ in range(2)] == [True, False]


def test_each_source_has_its_own_bucket() -> None:
    rates = RateLimiter(1, Clock())
    assert rates.allows("a")
    assert rates.allows("b")
    assert not rates.allows("a")


def test_of_too_many_sources_the_one_that_was_quiet_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.rate_limit.MAX_SOURCES", 2)
    rates = RateLimiter(1, Clock())
    assert rates.allows("quiet")
    assert rates.allows("busy")
    assert not rates.allows("busy")
    assert rates.allows("new")
    assert not rates.allows("busy")
    assert rates.allows("quiet")
