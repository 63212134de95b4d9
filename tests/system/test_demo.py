from __future__ import annotations

import re
import socket
from datetime import UTC, datetime, timedelta

import pytest

from sipbridge.terminal import Style
from sipbridge.trial_call.timeline import Step
from tests.demo import demo, report

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
    times = [float(found) for found in re.findall(r"^ +(\d+\.\d{3})  ", told, re.MULTILINE)]
    assert times == sorted(times)
    assert len(times) >= len(demo.EXPECTED)
    assert re.search(r"The page that opens for the human agent\n\n  http://127\.0\.0\.1:\d+/pop/ey", told)
    assert "\nBridge, agent and simulator have stopped." in told
    assert "curl -s -H 'x-api-key: demo-api-key' 'http://127.0.0.1:" in told
    echo = re.search(r"receives the echo: (\d+) of 50 frames bit for bit, (\d+) ms after they were sent", told)
    assert echo
    assert int(echo[1]) >= 40


def test_the_bridge_has_stopped_when_the_demo_prints_it(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []

    def print_line(text: str) -> None:
        printed.append(text)
        if "have stopped" in text:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/v1/", "\n".join(printed))
            assert found
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(found[1])), timeout=5)

    for module in (demo, report):
        monkeypatch.setattr(module, "print_line", print_line)
    assert demo.main([]) == 0, "\n".join(printed)
    assert "have stopped" in printed[-1]


def test_steps_are_in_the_order_of_their_times_and_in_the_only_possible_one_within_a_millisecond() -> None:
    began = datetime(2026, 3, 1, tzinfo=UTC)
    times = {"handoff.finished": 3522, "call.ended": 3520, "BYE": 3520.4, "NOTIFY": 3516}
    steps = [Step(began + timedelta(milliseconds=at), name, "trunk", "") for name, at in times.items()]
    assert [step.name for step in report.Report(demo.EXPECTED, Style()).in_order(steps)] == [
        "NOTIFY",
        "BYE",
        "call.ended",
        "handoff.finished",
    ]


def test_a_demo_whose_agent_does_not_hand_off_lists_the_missing_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(demo, "HANDOFF", ("--keys", "9"))
    monkeypatch.setattr(demo, "HANDOFF_SECONDS", 1)
    assert demo.main([]) == 1
    told = capsys.readouterr().out
    assert "receives the echo" in told
    assert "The demo failed:" in told
    missing = "handoff.started, farewell, stored, signal, REFER, 202, NOTIFY, BYE, call.ended, handoff.finished"
    assert f"Missing steps: {missing}\n" in told
