from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.demo import chat
from tests.harness.programs.program import Program
from tests.harness.web.http import fetch

Output = pytest.CaptureFixture[str]


def test_the_chat_demo_observes_every_step(capsys: Output) -> None:
    assert chat.main([]) == 0
    told = capsys.readouterr().out
    for part in (
        "Bot: “Hello! I echo.",
        "→ “I would rather talk to a person”",
        "Customer: Where is my invoice?",
        "queued: CXone has the contact",
        "position in the queue: 1",
        "shows: Waiting for a person, you are number 1",
        "active: Ada Quinn has joined",
        "shows: You are talking to Ada Quinn",
        "shows: Ada Quinn is typing",
        "← Ada Quinn: “Good morning, which month do you need?”",
        "sees that the customer is typing",
        "← “March, please”",
        "link  https://example.com/invoice-1042.pdf",
        "shows: You are being transferred",
        "active: Ben O. has joined",
        "closes the chat",
        "ended by the agent",
        "You said: Thank you",
    ):
        assert part in told
    times = [float(found) for found in re.findall(r"^ +(\d+\.\d{3})  ", told, re.MULTILINE)]
    assert times == sorted(times)
    assert len(times) >= len(chat.EXPECTED)
    assert "make demo-chat KEEP=1" in told


def test_a_chat_demo_without_a_handoff_lists_the_missing_steps(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(chat, "WISH", "I would rather talk to somebody else")
    monkeypatch.setattr("tests.demo.customer.WAIT_SECONDS", 1)
    assert chat.main([]) == 1
    told = capsys.readouterr().out
    assert "The demo failed:\nthe widget did not show “I am getting you a person.” from the bot within 1 s\n" in told
    assert "Missing steps: promise, handoff_accepted, contact, " in told


def test_a_kept_demo_prints_the_addresses_of_both_pages_and_serves_them(tmp_path: Path) -> None:
    with Program([sys.executable, "-m", "tests.demo.chat", "--keep"], tmp_path / "demo.log") as demo:
        widget = demo.line_with("You are the customer at").split()[-1]
        desk = demo.line_with("and the human agent at").split()[-1]
        assert "<title>Echo bot</title>" in fetch(widget).body.decode()
        assert "<title>Desk</title>" in fetch(desk).body.decode()
        assert demo.stop() == 0
