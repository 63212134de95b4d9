from __future__ import annotations

import re

import pytest

from tests.demo import demo

Output = pytest.CaptureFixture[str]


def test_the_demo_observes_every_step_and_prints_how_to_fetch_the_record(capsys: Output) -> None:
    assert demo.main([]) == 0
    told = capsys.readouterr().out
    for part in (
        "INVITE +19995550001",
        "180 Ringing",
        "websocket agent of project billing, client demo, is connected",
        "receives the whole greeting: 1.2 s",
        "sends DTMF digit 0",
        "requests the handoff: to sales, reason asked_for_human",
        "receives the whole farewell: 0.9 s",
        "p1  sales",
        "p3  asked_for_human",
        "NOTIFY 200 OK",
        "handoff_completed, confirmed",
    ):
        assert part in told
    assert '"handoff_state": "handoff_completed"' in told
    assert '"echoed_seconds": ' in told
    assert "curl -s -H 'x-api-key: demo-api-key' 'http://127.0.0.1:" in told
    echo = re.search(r"receives the echo: (\d+) of 50 frames bit for bit, (\d+) ms after they were sent", told)
    assert echo
    assert int(echo[1]) >= 40


def test_a_demo_whose_agent_does_not_hand_off_lists_the_missing_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(demo, "HANDOFF", ("--keys", "9"))
    monkeypatch.setattr(demo, "HANDOFF_SECONDS", 1)
    assert demo.main([]) == 1
    told = capsys.readouterr().out
    assert "receives the echo" in told
    assert "The demo failed:" in told
    missing = "handoff.started, farewell, stored, signal, REFER, 202, NOTIFY, handoff.finished, BYE, call.ended"
    assert f"Missing steps: {missing}\n" in told
