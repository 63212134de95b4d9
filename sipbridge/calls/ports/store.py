"""The seam between calls and `store`: records that outlive the process, and the calls in progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from sipbridge.calls.model import CallRecord, EndedBy
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.event_log import CallLog
from sipbridge.calls.ports.observer import Observer
from sipbridge.calls.ports.sip import Headers
from sipbridge.handoffs.record import Turn


class Undelivered(NamedTuple):
    """An ended call with events that its webhook did not get, and the sequence of the last one that it got."""

    client: str
    project: str
    call_id: str
    sequence: int


class RecordStore(Protocol):
    """The records, which outlive the process. Methods raise `StoreError`."""

    @property
    def waiting(self) -> int:
        """The number of records that are not written yet."""

    @property
    def events(self) -> CallLog:
        """The log of the calls: those of all nodes, if several share the store."""

    @property
    def observe(self) -> Observer:
        """The observer that writes to the log what no put shows: a call begins, is answered, is to be handed off."""

    async def put(self, record: CallRecord, *, urgent: bool = True) -> None:
        """Write the record, and replace an older one of the same call; durable on return.

        A record that is not urgent may wait for others and be committed with them. If writing fails, the record stays
        in memory, where it is found, and is written once the store works again.
        """

    def put_later(self, record: CallRecord) -> None:
        """Replace the record as `put` does; found on return, and durable within a moment.

        This raises only if the store is known to fail.
        """

    async def get(self, client: str, project: str, call_id: str) -> CallRecord | None:
        """Return the record of a call."""

    async def get_shared(self, client: str, project: str, shared_id: str) -> CallRecord | None:
        """Return the newest record with that shared id: a contact may call twice."""

    async def list_calls(
        self, client: str, project: str, *, limit: int, before: datetime | None = None
    ) -> list[CallRecord]:
        """Return records of a project that started before `before`, newest first."""

    async def delete(self, client: str, project: str, call_id: str) -> bool:
        """Erase the record of an ended call for good; return False if there is none."""

    async def delete_shared(self, client: str, project: str, shared_id: str) -> int:
        """Erase all records of ended calls with that shared id; return their number."""

    async def undelivered(self) -> list[Undelivered]:
        """Return the ended calls of this node whose webhook did not get all events."""

    def mark_delivered(self, client: str, project: str, call_id: str, sequence: int) -> None:
        """Note that the webhook has got the events of an ended call up to this sequence. Written within a second."""

    async def close(self) -> None:
        """Write what is queued and close."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A call that an earlier run of the program left open, according to the journal.

    `headers` are those of its `Identity`. `signal` is None if no Signal can have reached CXone, `UNKNOWN` if one was
    sent and its result is not known. The record is that of the last entry: its `ended_at` is set if the caller's leg
    had ended, and its state is `ended` if the call has ended and only its record is missing in the store.
    `bye_unknown` is true if our BYE was about to end the leg, and may not have been sent.
    """

    record: CallRecord
    headers: Headers
    signal: SignalResult | None = None
    bye_unknown: bool = False

    @property
    def needs_signal(self) -> bool:
        """True if the contact may still be in the conversation, and was not signalled."""
        return self.signal is None and self.record.ended_at is None


class CallJournal(Protocol):
    """The calls in progress, as the next start must know them after a crash.

    No method but `begin` raises. An awaited entry survives the process once the method returns True, and `signalling`
    also a loss of power; False means that it could not be written within a second. The other entries are written within
    a moment.
    """

    async def begin(self, record: CallRecord, headers: Headers, *, withheld: bool = False) -> bool:
        """The caller is about to be answered. Raises `NodeTakenOver` if this node must not answer.

        If `withheld`, the Signal of another call of the contact withholds the one of this call.
        """

    def answered(self, call_id: str, at: datetime) -> None:
        """The caller was answered."""

    def add_turns(self, call_id: str, turns: Sequence[Turn]) -> None:
        """The transcript has grown by these turns."""

    def handing_off(self, record: CallRecord) -> None:
        """A handoff begins, and the store will have its record later. Written within milliseconds."""

    async def signalling(self, record: CallRecord, withheld: Sequence[str] = ()) -> bool:
        """The first byte of a Signal is about to go out: from now on only CXone knows if it arrives.

        It withholds the Signals of the `withheld` calls, which is written with it: they get `DUPLICATE` as result.
        """

    def signalled(self, call_id: str, result: SignalResult) -> None:
        """The result of the Signal so far. `UNDELIVERED` takes `signalling` back, and is written at once."""

    def hanging_up(self, call_id: str, by: EndedBy, at: datetime, written: Callable[[], None]) -> None:
        """Our BYE is about to be sent: from now on only CXone knows if it arrived, and no Signal may follow.

        Written at once; then `written` is called, on any thread, also if writing failed.
        """

    def hung_up(
        self,
        call_id: str,
        by: EndedBy,
        at: datetime,
        written: Callable[[], None] | None = None,
        *,
        urgent: bool = True,
    ) -> None:
        """The caller's leg has ended, or their BYE has come: no Signal may follow. May be called from any thread.

        Written and reported as `hanging_up` is. After a Signal it is not urgent: then it is written within a moment,
        and `written` is not used.
        """

    def stored(self, call_id: str) -> None:
        """The call has ended, and its record is in the store."""

    def unstored(self, record: CallRecord) -> None:
        """The call has ended, but its record could not be stored: the journal keeps it."""

    async def close(self) -> None:
        """Write what is queued and close."""
