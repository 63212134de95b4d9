from __future__ import annotations

from sipbridge.cxone.digital.byoc.allowance import Allowance


def test_a_number_at_once_and_more_per_minute() -> None:
    now = 0.0
    allowance = Allowance(3, 6, clock=lambda: now)
    assert [allowance.take() for _ in range(5)] == [True] * 3 + [False] * 2
    now = 9.9
    assert not allowance.take()
    now = 20.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    now = 1e6
    assert [allowance.take() for _ in range(4)] == [True] * 3 + [False]
