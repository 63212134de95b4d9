"""The machine's clock is set while a call is up: by hours, there and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from harness.simulator import Simulator
from harness.waiting import wait_for

from .site import PlacedCall, Site, site

YEAR_HOURS = 365 * 24


class Clock:
    """The wall clock of a program, which a test may set (libfaketime); the monotonic one is left alone."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_to(0)
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self.within = (
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        )

    def set_to(self, hours: float) -> None:
        """Set it by so many hours from what is right."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{hours * 3600:+.0f}\n")
        fresh.rename(self._file)


@contextmanager
def site_with_clock(folder: Path, cxone: Simulator) -> Iterator[tuple[Site, Clock]]:
    clock = Clock(folder / "clock")
    with site(folder, cxone, within=clock.within) as running:
        yield running, clock


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[tuple[Site, Clock]]:
    with site_with_clock(tmp_path_factory.mktemp("timed"), cxone) as running:
        yield running


def seconds(record: dict[str, str], start: str, end: str) -> float:
    return (datetime.fromisoformat(record[end]) - datetime.fromisoformat(record[start])).total_seconds()


def said(trunk: Site, words: str) -> bool:
    return words in trunk.bridge.program.log.read_text()


@pytest.mark.parametrize("hours", [5, -5, YEAR_HOURS], ids=["five hours on", "five hours back", "a year on"])
def test_a_call_that_is_up_while_the_clock_is_set_there_and_back_takes_the_time_it_takes(
    timed: tuple[Site, Clock], hours: float
) -> None:
    trunk, clock = timed
    count = trunk.count()
    began = time.monotonic()
    call = trunk.call("release", "waiting")
    call_id = call.answered()
    clock.set_to(hours)
    wait_for(lambda: said(trunk, f'"seconds":{hours * 3600:.0f}') or None, "the step to be seen")
    assert hand_off(call, call_id) == 202
    clock.set_to(0)
    record = call.went_as_written().record()
    took = time.monotonic() - began
    assert 0 < seconds(record, "started_at", "ended_at") <= took
    assert 0 <= seconds(record, "started_at", "answered_at") <= took
    handoff = record["handoff"]
    assert handoff["state"] == "handoff_completed"
    assert 0 < seconds(handoff, "handoff_at", "finished_at") <= took
    assert len(call.signals()) == 1
    assert 0 < count.grew("sipbridge_call_duration_seconds_sum") <= took
    assert 0 < count.grew("sipbridge_handoff_seconds_sum", stage="total") <= took


def hand_off(call: PlacedCall, call_id: str) -> int:
    return call.project.ask(f"calls/{call_id}/handoff", "POST", {}).status
