"""The transcript of a call, within limits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sipbridge.errors import HandoffInvalid
from sipbridge.handoffs.record import Turn

# A conversation of an hour has a few hundred turns.
MAX_TURNS = 2_000
MAX_CHARACTERS = 1_000_000


class Transcript:
    """The turns so far, oldest first."""

    def __init__(self) -> None:
        self.turns: tuple[Turn, ...] = ()
        self._characters = 0

    def add(self, turns: Iterable[Turn], now: datetime) -> None:
        """Append turns; one without a time gets that of `now`.

        Raises `HandoffInvalid`, and appends none, if the transcript would be too long.
        """
        added = tuple(turn if turn.at else turn.model_copy(update={"at": now}) for turn in turns)
        if len(self.turns) + len(added) > MAX_TURNS:
            raise HandoffInvalid(f"transcript would be over {MAX_TURNS} turns")
        characters = self._characters + sum(len(turn.text) for turn in added)
        if characters > MAX_CHARACTERS:
            raise HandoffInvalid(f"transcript would be over {MAX_CHARACTERS} characters")
        self._characters = characters
        self.turns += added
