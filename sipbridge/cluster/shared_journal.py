"""The journal of a node: the file that survives its crash, and the open calls in Redis, which survive the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from sipbridge.calls.model import CallRecord, EndedBy
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import Headers
from sipbridge.calls.ports.store import CallJournal
from sipbridge.cluster.open_calls import OpenCalls
from sipbridge.handoffs.record import Turn
from sipbridge.store.journal import entries
from sipbridge.store.journal.entries import Entry


class SharedJournal:
    """A `CallJournal`: the local one, and the open calls in Redis."""

    def __init__(self, local: CallJournal, shared: OpenCalls) -> None:
        self._local = local
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        # The calls of which a rescuer finds a claim.
        self._signalled: set[str] = set()

    async def begin(self, record: CallRecord, headers: Headers, *, withheld: bool = False) -> bool:
        """Record in both that the caller is about to be answered; return False if the local journal has not.

        Raises `NodeTakenOver`.
        """
        written = self._shared.begin(entries.began(record, headers))
        for entry in entries.withheld([record.call_id] if withheld else []):
            self._shared.keep(entry)
        begun = await self._local.begin(record, headers, withheld=withheld)
        await self._shared.confirm(written)
        return begun

    def answered(self, call_id: str, at: datetime) -> None:
        """Record that the caller was answered, in the local journal; Redis gets the time with the announcement."""
        self._local.answered(call_id, at)

    def add_turns(self, call_id: str, turns: Sequence[Turn]) -> None:
        """Record that the transcript has grown, in the local journal; Redis gets it when the handoff begins."""
        self._local.add_turns(call_id, turns)

    def handing_off(self, record: CallRecord) -> None:
        """Record that a handoff begins, in the local journal; Redis gets its record from the store."""
        self._local.handing_off(record)

    async def signalling(self, record: CallRecord, withheld: Sequence[str] = ()) -> bool:
        """Record that a Signal is about to be sent, in the local journal; the claim follows.

        No claim says which others it withholds, so Redis has that on return, if it responds.
        """
        self._signalled.add(record.call_id)
        self._shared.keep(entries.signalling(record))
        written = [self._shared.withhold(entry) for entry in entries.withheld(withheld)]
        synced = await self._local.signalling(record, withheld)
        await self._shared.settle(written)
        return synced

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """Record the result of the Signal. Redis gets it at once if it revokes a Signal that Redis may have."""
        self._local.signalled(call_id, result)
        entry = entries.signalled(call_id, result)
        if result is SignalResult.UNDELIVERED:
            self._shared.add(entry, urgent=True)
        else:
            self._shared.keep(entry)

    def hanging_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None]) -> None:
        """Record that our BYE is about to be sent."""
        self._local.hanging_up(call_id, by, at, written)
        self._add(entries.hanging_up(call_id, by, at))

    def hung_up(
        self,
        call_id: str,
        by: EndedBy,
        at: datetime,
        written: Callable[[], None] | None = None,
        *,
        urgent: bool = True,
    ) -> None:
        """Record that the caller's leg has ended. From any thread."""
        self._local.hung_up(call_id, by, at, written, urgent=urgent)
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._add, entries.hung_up(call_id, by, at))

    def stored(self, call_id: str) -> None:
        """Record that the call is over and its record is in the store."""
        self._local.stored(call_id)
        self._signalled.discard(call_id)
        self._shared.remove(call_id)

    def unstored(self, record: CallRecord) -> None:
        """Record that the call is over and its record could not be stored."""
        self._local.unstored(record)
        self._shared.add(entries.ended(record), urgent=False)

    async def close(self) -> None:
        """Write what is queued and close."""
        await self._local.close()

    def _add(self, entry: Entry) -> None:
        self._shared.add(entry, urgent=entry.call_id not in self._signalled)
