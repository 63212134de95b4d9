from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.fuzz import fuzz

MESSAGES = 4_000  # `make fuzz` sends 100,000
SEED = 4475


@pytest.mark.timeout(300)
def test_mutants_of_our_own_messages_harm_no_call(tmp_path: Path) -> None:
    """The process survives, logs no fault of its own, releases all that it took, and calls go on."""
    said: list[str] = []
    report = fuzz(MESSAGES, SEED, tmp_path, said.append)
    assert report.messages == MESSAGES
    assert report.faults == []
    assert len(report.kinds) > 30
    assert report.statuses[200] > 100  # deep
    assert report.audio.sent > 1_000
    assert report.audio.lost < 0.005 * report.audio.sent, str(report)
    assert sorted(report.pings_ms)[int(0.9 * len(report.pings_ms))] < 500, str(report)
