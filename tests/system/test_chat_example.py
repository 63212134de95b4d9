"""The bot in docs/chat.md works exactly as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import simulator
from tests.harness.settings import bridge_settings, chat_project_settings, client_settings, key

PAGE = Path(__file__).parents[2] / "docs" / "chat.md"
MESSAGING = "chat_11111111-1111-4111-8111-111111111111"


@pytest.mark.timeout(60)
def test_the_bot_of_the_documentation_hands_off_and_relays_both_ways(tmp_path: Path) -> None:
    program = tmp_path / "bot.py"
    program.write_text(_example(), encoding="utf-8")
    with simulator(tmp_path) as cxone:
        project = chat_project_settings("support", cxone.url, {"web": MESSAGING})
        clients = {"acme": client_settings("+19995550001", cxone.url, {"support": project})}
        cxone.desk.automate(accept_after_seconds=0, reply="You said: {text}")
        with bridge(bridge_settings(tmp_path, clients), tmp_path) as running:
            events = _converse(program, f"{running.http}/v1/acme/support", key("support"), "Where is my parcel?")
        texts = [message["text"] for message in cxone.desk.messages(cxone.desk.chat(), direction="inbound")]
    assert events[0] == "handoff_accepted"
    assert {"agent_joined", "message_delivered"} <= set(events)
    assert events[-1] == "chat_ended"
    assert texts == ["asked for a person", "Where is my parcel?", "The chat has ended."]


def _converse(program: Path, project: str, api_key: str, text: str) -> list[str]:
    """Send a line, wait for the human agent's reply to it, and end; return the types of all events."""
    command = [sys.executable, str(program), project, api_key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bot:  # noqa: S603 (the example)
        assert bot.stdin is not None
        assert bot.stdout is not None
        bot.stdin.write(f"{text}\n")
        bot.stdin.flush()
        lines = []
        for line in bot.stdout:
            lines.append(line)
            if f"You said: {text}" in line:
                bot.stdin.close()
    assert bot.returncode == 0
    return [line.split()[0] for line in lines]


def _example() -> str:
    """Return the bot's text from the page."""
    text = PAGE.read_text(encoding="utf-8")
    found: list[str] = re.findall(r"^```python\n(import asyncio.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return found[0]
