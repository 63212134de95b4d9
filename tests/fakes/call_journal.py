"""A journal in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sipbridge.calls.model import CallRecord, EndedBy
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import Headers
from sipbridge.calls.ports.store import CallJournal
from sipbridge.handoffs.record import Turn
from tests.fakes.journal import Journal


class FakeCallJournal:
    """Implements `CallJournal`: the open calls with the results of their Signals."""

    def __init__(self, journal: Journal) -> None:
        self.open: dict[str, SignalResult | None] = {}
        self.answered_at: dict[str, datetime] = {}
        self.turns: dict[str, list[Turn]] = {}
        self.signalling_records: list[CallRecord] = []
        self.unstored_records: list[CallRecord] = []
        self.failing = False
        self.refusing: Exception | None = None  # raised by `begin`
        # True for a disk on which no write ever ends.
        self.hanging = False
        # For each end of a leg, True if it was to be written at once.
        self.urgent_ends: list[bool] = []
        self._journal = journal
        self.signals: list[tuple[str, SignalResult]] = []

    async def begin(self, record: CallRecord, headers: Headers, *, withheld: bool = False) -> bool:  # noqa: ARG002 (the Protocol has it)
        await self._journal.reach("journal.begin")
        self.open[record.call_id] = None
        self._withhold([record.call_id] if withheld else [])
        if self.refusing is not None:
            raise self.refusing
        return not self.failing

    def answered(self, call_id: str, at: datetime) -> None:
        self.answered_at[call_id] = at

    def add_turns(self, call_id: str, turns: Sequence[Turn]) -> None:
        self.turns.setdefault(call_id, []).extend(turns)

    def handing_off(self, record: CallRecord) -> None:
        self._journal.note(f"journal.handing_off {record.handoff.state if record.handoff else None}")

    async def signalling(self, record: CallRecord, withheld: Sequence[str] = ()) -> bool:
        self._withhold(withheld)
        await self._journal.reach("journal.signalling")
        self.signalling_records.append(record)
        self.open[record.call_id] = SignalResult.UNKNOWN
        return not self.failing

    def _withhold(self, call_ids: Sequence[str]) -> None:
        for call_id in call_ids:
            self.signalled(call_id, SignalResult.DUPLICATE)

    def signalled(self, call_id: str, result: SignalResult) -> None:
        self._journal.note(f"journal.signalled {result}")
        self.signals.append((call_id, result))
        if call_id in self.open:
            self.open[call_id] = result

    def hanging_up(
        self,
        call_id: str,  # noqa: ARG002 (the Protocol has it)
        by: EndedBy,
        at: datetime,  # noqa: ARG002 (the Protocol has it)
        written: Callable[[], None],
    ) -> None:
        self._journal.note(f"journal.hanging_up by {by}")
        if not self.hanging:
            written()

    def hung_up(
        self,
        call_id: str,  # noqa: ARG002 (the Protocol has it)
        by: EndedBy,
        at: datetime,  # noqa: ARG002 (the Protocol has it)
        written: Callable[[], None] | None = None,
        *,
        urgent: bool = True,
    ) -> None:
        self.urgent_ends.append(urgent)
        self._journal.note(f"journal.hung_up by {by}")
        if written is not None and not self.hanging:
            written()

    def stored(self, call_id: str) -> None:
        self._journal.note("journal.stored")
        self.open.pop(call_id, None)

    def unstored(self, record: CallRecord) -> None:
        self._journal.note("journal.unstored")
        self.unstored_records.append(record)

    async def close(self) -> None:
        await self._journal.reach("journal.close")


def _implements(journal: FakeCallJournal) -> CallJournal:
    return journal
