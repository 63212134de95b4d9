"""The seam between calls and `speech`: speech synthesis."""

from __future__ import annotations

from typing import Protocol


class Speaker(Protocol):
    """Speech synthesis."""

    async def prepare(self, text: str) -> str | None:
        """Synthesise a text; return the name of a clip for `Leg.play`, None if that failed or took too long."""

    def close(self) -> None:
        """Free all clips: no call uses them any more."""
