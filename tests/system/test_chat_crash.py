from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.kills_chat import run_kills


@pytest.mark.timeout(150)
def test_chats_survive_kills_and_no_message_is_lost_doubled_or_overtaken(tmp_path: Path) -> None:
    reports: list[str] = []
    tally = run_kills(tmp_path, kills=3, chats=6, seed=3, report=reports.append)
    assert tally.harms == {"kills": 3}
    assert set(tally.ended) == {"agent", "bot", "customer"}
    assert tally.messages >= tally.ended.total() * 2 * 12
