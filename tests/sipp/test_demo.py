from __future__ import annotations

import pytest
from harness import demo


def test_the_demo_sees_every_step_and_tells_how_to_fetch_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main([]) == 0
    told = capsys.readouterr().out
    for part in (
        "INVITE +19995550001",
        "p1  sales",
        "p3  asked_for_human",
        "NOTIFY 200 OK",
        "handoff_completed, confirmed",
    ):
        assert part in told
    assert '"handoff_state": "handoff_completed"' in told
    assert "curl -s -H 'x-api-key: demo-api-key' 'http://127.0.0.1:" in told
