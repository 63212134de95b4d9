"""A CXone that accepts every request."""

from __future__ import annotations

from collections.abc import Mapping

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.cxone import ContactCentre, SignalNote, SignalResult, SignalStopped
from tests.fakes.journal import Journal


class FakeCentre:
    """Implements `ContactCentre`."""

    def __init__(self, journal: Journal) -> None:
        self.answer = SignalResult.ACCEPTED
        self.failed_attempts = 0  # of each Signal, before the last one
        self.takes_transcripts = True
        self.signals: list[tuple[str, Mapping[str, str]]] = []
        self.transcripts: list[tuple[CallRecord, bool]] = []
        self._journal = journal

    async def warm_up(self) -> None:
        self._journal.note("centre.warm_up")

    async def signal(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
        self.signals.append((contact_id, parameters))
        await self._journal.reach("token")
        for _ in range(self.failed_attempts):
            await note(SignalResult.UNKNOWN)
            await note(SignalResult.UNDELIVERED)
        try:
            await note(SignalResult.UNKNOWN)
        except SignalStopped as stopped:
            self.signals.pop()
            return stopped.result
        await self._journal.reach("centre.signal")
        return self.answer

    async def post_transcript(self, record: CallRecord, *, escalated: bool) -> bool:
        self.transcripts.append((record, escalated))
        await self._journal.reach("centre.post_transcript")
        return self.takes_transcripts

    async def close(self) -> None:
        self._journal.note("centre.close")


def _implements(centre: FakeCentre) -> ContactCentre:
    return centre
