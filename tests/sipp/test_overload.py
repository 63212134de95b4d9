from __future__ import annotations

from pathlib import Path

from harness.overload import measure

# More than two cores carry by far.
CALLS_A_SECOND, SECONDS = 1200, 3


def test_of_more_calls_than_it_can_carry_those_let_in_finish_and_the_rest_get_503(tmp_path: Path) -> None:
    overload = measure(tmp_path, CALLS_A_SECOND, SECONDS, probe_seconds=0).overload
    assert overload.refused > overload.calls / 10
    assert overload.unanswered == 0
    assert overload.finished == overload.admitted == overload.counted_200 == overload.handed_off
    assert overload.refused == overload.counted_503
    # The median: what 99 % of them take is a matter of the machine, and measured where it does nothing else.
    assert overload.refusal.p50 < 100
