"""The journal of calls that are being rescued: their entries in Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from sipbridge.aio import BackgroundTasks
from sipbridge.calls.model import CallRecord, EndedBy
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import Headers
from sipbridge.cluster.lease import REDIS_SECONDS, Commands
from sipbridge.errors import StoreError
from sipbridge.handoffs.record import Turn
from sipbridge.store.journal import entries
from sipbridge.store.journal.entries import Entry
from sipbridge.store.redis import keys

logger = logging.getLogger(__name__)


class RescueJournal:
    """The `CallJournal` of calls that are being rescued: their entries in Redis, which end with each call.

    It has no Signals, since their claims are written in any case, but those that another call of the contact withholds:
    if this rescuer dies, the next one sends none either.
    """

    def __init__(self, redis: Commands, epoch: str) -> None:
        self._redis = redis
        self._key = keys.OPEN_CALLS + epoch
        self._stored: list[str] = []
        self._lines: dict[str, str] = {}
        self._withheld: set[str] = set()
        self._writing = asyncio.Lock()  # one at a time, so that the last state remains
        self._writes = BackgroundTasks()

    @property
    def completed(self) -> int:
        """The number of calls that are stored."""
        return len(self._stored)

    def found(self, call_id: str, lines: str) -> None:
        """Note the entries of a call."""
        self._lines[call_id] = lines

    async def begin(
        self,
        record: CallRecord,  # noqa: ARG002 (the Protocol has it)
        headers: Headers,  # noqa: ARG002 (as above)
        *,
        withheld: bool = False,  # noqa: ARG002 (as above)
    ) -> bool:
        """No call begins here."""
        return True

    def answered(self, call_id: str, at: datetime) -> None:
        """No call begins here."""

    def add_turns(self, call_id: str, turns: Sequence[Turn]) -> None:
        """No conversation goes on here."""

    def handing_off(self, record: CallRecord) -> None:
        """The store has the record at once."""

    async def signalling(self, record: CallRecord, withheld: Sequence[str] = ()) -> bool:  # noqa: ARG002 (as above)
        """Write which Signals are withheld; the claim of this one follows. Return False if Redis does not respond."""
        added = [entry for entry in entries.withheld(withheld) if entry.call_id in self._lines]
        self._withheld.update(entry.call_id for entry in added)
        return await self._add(added)

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """Write that a Signal is withheld no longer. The claim has the result of any other."""
        if call_id in self._withheld:
            self._writes.start(self._add_later([entries.signalled(call_id, result)]))

    def hanging_up(
        self,
        call_id: str,  # noqa: ARG002 (as above)
        by: EndedBy,  # noqa: ARG002 (as above)
        at: datetime,  # noqa: ARG002 (as above)
        written: Callable[[], None],
    ) -> None:
        """There is no leg."""
        written()

    def hung_up(
        self,
        call_id: str,  # noqa: ARG002 (as above)
        by: EndedBy,  # noqa: ARG002 (as above)
        at: datetime,  # noqa: ARG002 (as above)
        written: Callable[[], None] | None = None,
        *,
        urgent: bool = True,  # noqa: ARG002 (as above)
    ) -> None:
        """There is no leg."""
        if written is not None:
            written()

    def stored(self, call_id: str) -> None:
        """Remove the call, once all are recovered."""
        self._stored.append(call_id)

    def unstored(self, record: CallRecord) -> None:
        """Keep the call: it is recovered again, and then the store may have the record."""

    async def close(self) -> None:
        """Remove the calls that are stored. Raises `StoreError`."""
        await self._writes.wait()
        if self._stored:
            await self._redis.run([("HDEL", self._key, *self._stored)], seconds=REDIS_SECONDS)

    async def _add(self, added: Sequence[Entry]) -> bool:
        """Add entries of withheld Signals, and write their calls; return False if Redis does not respond."""
        async with self._writing:
            for entry in added:
                self._lines[entry.call_id] += entry.line.decode()
            lines = [part for entry in added for part in (entry.call_id, self._lines[entry.call_id])]
            try:
                if lines:
                    await self._redis.run([("HSET", self._key, *lines)], seconds=REDIS_SECONDS)
            except StoreError as error:
                logger.debug("withheld Signals not written: %s", error)
                return False
        return True

    async def _add_later(self, added: Sequence[Entry]) -> None:
        await self._add(added)
