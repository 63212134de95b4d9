from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sipbridge.calls import transcript as module
from sipbridge.calls.transcript import Transcript
from sipbridge.errors import HandoffInvalid
from sipbridge.handoffs.record import Turn

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EARLIER = datetime(2026, 3, 1, 11, 59, tzinfo=UTC)


def test_turns_keep_their_order_and_those_without_a_time_get_the_present_one() -> None:
    transcript = Transcript()
    transcript.add([Turn(role="caller", text="Hello", at=EARLIER)], NOW)
    transcript.add([Turn(role="agent", text="Good morning")], NOW)
    assert [(turn.text, turn.at) for turn in transcript.turns] == [("Hello", EARLIER), ("Good morning", NOW)]


@pytest.mark.parametrize(
    ("limit", "value", "error"), [("MAX_TURNS", 2, "over 2 turns"), ("MAX_CHARACTERS", 5, "over 5 characters")]
)
def test_turns_beyond_a_limit_are_refused_together(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, error: str
) -> None:
    monkeypatch.setattr(module, limit, value)
    transcript = Transcript()
    transcript.add([Turn(role="caller", text="abc")], NOW)
    with pytest.raises(HandoffInvalid, match=error):
        transcript.add([Turn(role="agent", text="d"), Turn(role="agent", text="ef")], NOW)
    transcript.add([Turn(role="agent", text="de")], NOW)
    assert [turn.text for turn in transcript.turns] == ["abc", "de"]
