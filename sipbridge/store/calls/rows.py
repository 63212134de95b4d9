"""Conversion of records to rows and back, and the SQL statements."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from sipbridge.calls.milestones import last_sequence
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.event_log import LogEntry, Position
from sipbridge.store.bodies import microseconds, to_body, to_model
from sipbridge.store.sqlite.retention import AgeStatements


class Reached(NamedTuple):
    """The sequence of the last milestone that a call has reached, for the log."""

    client: str
    project: str
    call_id: str
    milestone: int

    @classmethod
    def of(cls, record: CallRecord) -> Reached:
        """Return that of a record."""
        return cls(record.client, record.project, record.call_id, last_sequence(record))


class Row(NamedTuple):
    """A row of the table `calls`, with the columns in the order of `schema`, and last the sequence for the log.

    `milestone` is the sequence of the last milestone that the call has reached.
    """

    call_id: str
    client: str
    project: str
    shared_id: str
    state: str
    started_at: int
    updated_at: int
    body: str
    milestone: int

    @property
    def columns(self) -> tuple[str | int, ...]:
        """The values of the columns."""
        return self[:-1]

    @property
    def reached(self) -> Reached:
        """Its part in the log."""
        return Reached(self.client, self.project, self.call_id, self.milestone)


class Found(NamedTuple):
    """The columns that a query returns."""

    call_id: str
    started_at: int
    body: str

    @classmethod
    def of(cls, row: Row) -> Found:
        """Return the columns of a row that is not written yet."""
        return cls(row.call_id, row.started_at, row.body)


PUT = """
INSERT INTO calls (call_id, client, project, shared_id, state, started_at, updated_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (call_id) DO UPDATE SET
    shared_id = excluded.shared_id, state = excluded.state, updated_at = excluded.updated_at, body = excluded.body
"""
# Parameters: time in microseconds, client, project, call id, sequence of the last milestone, and of the last that is
# known to be in the log. There is no entry without a new milestone.
LOG = """
INSERT INTO call_events (position, client, project, call_id, known, reached)
SELECT max(?1, coalesce((SELECT max(position) FROM call_events), 0) + 1), ?2, ?3, ?4, known, ?5
FROM (SELECT max(?6, coalesce(max(reached), 0)) AS known FROM call_events WHERE call_id = ?4) WHERE known < ?5
"""
LOG_ENTRIES = """
SELECT position, call_id, known, reached FROM call_events
WHERE client = ? AND project = ? AND position >= ? ORDER BY position LIMIT ?
"""
LAST_LOG_ENTRY = "SELECT max(position) FROM call_events WHERE client = ? AND project = ?"
TRIM_LOG = """
DELETE FROM call_events WHERE position <= (SELECT position FROM call_events ORDER BY position DESC LIMIT 1 OFFSET ?)
"""
EXPECT_DELIVERY = "INSERT OR IGNORE INTO call_webhooks (call_id, sequence) VALUES (?, ?)"
MARK_DELIVERED = "UPDATE call_webhooks SET sequence = ? WHERE call_id = ?"
MARK_ALL_DELIVERED = "DELETE FROM call_webhooks WHERE call_id = ?"
UNDELIVERED = "SELECT client, project, call_id, sequence FROM call_webhooks JOIN calls USING (call_id)"
GET = "SELECT call_id, started_at, body FROM calls WHERE client = ? AND project = ? AND call_id = ?"
GET_SHARED = """
SELECT call_id, started_at, body FROM calls WHERE client = ? AND project = ? AND shared_id = ? ORDER BY started_at DESC
"""
LIST = """
SELECT call_id, started_at, body FROM calls
WHERE client = ? AND project = ? AND started_at < ? ORDER BY started_at DESC
"""
DELETE = {
    column: f"DELETE FROM calls WHERE client = ? AND project = ? AND {column} = ? RETURNING call_id"  # noqa: S608 (fixed text only)
    for column in ("call_id", "shared_id")
}
AGES = AgeStatements(
    newest="SELECT max(updated_at) FROM calls",
    delete_old="DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls WHERE updated_at < ? LIMIT ?)",
    bring_to_now="UPDATE calls SET updated_at = :now WHERE updated_at > :now",
)
# The intact rows of a corrupt file.
RESCUE = """
SELECT rowid, call_id, client, project, shared_id, state, started_at, updated_at, body FROM calls
WHERE rowid > ? AND json_valid(body) AND typeof(started_at) = 'integer' AND typeof(updated_at) = 'integer'
ORDER BY rowid LIMIT ?
"""
RESCUE_WEBHOOKS = "SELECT call_id, sequence FROM call_webhooks"
PUT_BACK = """
INSERT OR IGNORE INTO calls (call_id, client, project, shared_id, state, started_at, updated_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


def to_row(record: CallRecord, updated_at: int) -> Row:
    """Convert a record. Raises `StoreError` if its text cannot be encoded as UTF-8."""
    return Row(
        record.call_id,
        record.client,
        record.project,
        record.shared_id,
        record.state.value,
        microseconds(record.started_at),
        updated_at,
        to_body(lambda: record.as_json, f"call {record.call_id}"),
        last_sequence(record),
    )


def to_position(microseconds: int) -> Position:
    """Convert the position of an entry in the log."""
    return Position(*divmod(microseconds, 1000))


def from_position(position: Position) -> int:
    """Return the first position in the log that is not before this one."""
    return position.milliseconds * 1000 + position.number


def to_log_entry(position: int, call_id: str, known: int, reached: int) -> LogEntry:
    """Convert a row of the log."""
    return LogEntry(to_position(position), call_id, known, reached)


def to_record(body: str) -> CallRecord:
    """Parse a record. Raises `StoreError`, which does not quote it, if it is not valid."""
    return to_model(CallRecord, body)


def newest_first(found: Iterable[Found], limit: int) -> list[CallRecord]:
    """Parse the rows of the calls that started last, newest first. Raises `StoreError` as `to_record`."""
    newest = sorted(found, key=attrgetter("started_at"), reverse=True)[:limit]
    return [to_record(each.body) for each in newest]


def newest(found: Iterable[Found]) -> CallRecord | None:
    """Parse the row of the call that started last. Raises `StoreError` as `to_record`."""
    return next(iter(newest_first(found, 1)), None)
