"""The machine's clock jumps by hours, forwards and back, during a call."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from tests.harness.programs.simulator import Simulator
from tests.harness.programs.wall_clock import WallClock

from .site import Site, site

YEAR_HOURS = 365 * 24


def seconds(record: dict[str, str], start: str, end: str) -> float:
    return (datetime.fromisoformat(record[end]) - datetime.fromisoformat(record[start])).total_seconds()


def set_and_seen(clock: WallClock, trunk: Site, hours: float) -> None:
    """Set the clock, and return once the bridge has noticed the step."""
    clock.set_to(hours)
    step = f'"event":"clock_stepped","seconds":{hours * 3600:.0f}'
    trunk.bridge.program.logged(step)


def test_the_recorded_duration_of_a_call_is_right_though_the_clock_jumped_forwards_and_back(
    tmp_path: Path, cxone: Simulator
) -> None:
    clock = WallClock(tmp_path)
    with site(tmp_path, cxone, launcher=clock.launcher) as trunk:
        count = trunk.count()
        began = time.monotonic()
        call = trunk.call("release", "waiting")
        call_id = call.wait_until_answered()
        for hours in (5, -5):
            set_and_seen(clock, trunk, hours)
        assert call.project.request(f"calls/{call_id}/handoff", "POST", {}).status == 202
        set_and_seen(clock, trunk, YEAR_HOURS)
        call.wait_for_scenario()
        clock.set_to(0)
        record = call.record()
        took = time.monotonic() - began
        assert count.grows_by(1, "sipbridge_calls_total", project="waiting")
        handoff = record["handoff"]
        assert handoff["state"] == "handoff_completed"
        assert 0 <= seconds(record, "started_at", "answered_at") <= took
        assert 0 < seconds(record, "started_at", "ended_at") <= took
        assert 0 < seconds(handoff, "handoff_at", "finished_at") <= took
        assert 0 < count.growth("sipbridge_call_duration_seconds_sum") <= took
        assert 0 < count.growth("sipbridge_handoff_seconds_sum", stage="total") <= took
        assert len(call.signals()) == 1
        late = trunk.call("release").wait_for_scenario()
        assert late.record()["handoff"]["signal"] == "accepted", "tokens and all else still work"
