"""Speech synthesis without audio."""

from __future__ import annotations

from sipbridge.calls.ports.speech import Speaker
from tests.fakes.journal import Journal


class FakeSpeaker:
    """Implements `Speaker`: returns the clip `speech`, or None."""

    def __init__(self, journal: Journal) -> None:
        self.clip: str | None = "speech"
        self.texts: list[str] = []
        self._journal = journal

    async def prepare(self, text: str) -> str | None:
        self.texts.append(text)
        await self._journal.reach("speaker.prepare")
        return self.clip

    def close(self) -> None:
        self._journal.note("speaker.close")


def _implements(speaker: FakeSpeaker) -> Speaker:
    return speaker
