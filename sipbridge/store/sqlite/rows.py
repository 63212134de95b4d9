"""Records as rows and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import ValidationError

from sipbridge.calls.model import CallRecord
from sipbridge.errors import StoreError


class Row(NamedTuple):
    """A row of the table `calls`, its columns in their order (`schema`)."""

    call_id: str
    client: str
    project: str
    shared_id: str
    state: str
    started_at: int
    updated_at: int
    body: str


class Found(NamedTuple):
    """What reading gives of a row."""

    call_id: str
    started_at: int
    body: str


PUT = """
INSERT INTO calls (call_id, client, project, shared_id, state, started_at, updated_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (call_id) DO UPDATE SET
    shared_id = excluded.shared_id, state = excluded.state, updated_at = excluded.updated_at, body = excluded.body
"""
GET = "SELECT call_id, started_at, body FROM calls WHERE client = ? AND project = ? AND call_id = ?"
GET_SHARED = """
SELECT call_id, started_at, body FROM calls WHERE client = ? AND project = ? AND shared_id = ? ORDER BY started_at DESC
"""
LIST = """
SELECT call_id, started_at, body FROM calls
WHERE client = ? AND project = ? AND started_at < ? ORDER BY started_at DESC
"""
DELETE = {
    column: f"DELETE FROM calls WHERE client = ? AND project = ? AND {column} = ? RETURNING call_id"  # noqa: S608 (no stranger's text)
    for column in ("call_id", "shared_id")
}
NEWEST = "SELECT max(updated_at) FROM calls"
DELETE_OLD = "DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls WHERE updated_at < ? LIMIT ?)"
# The clock was ahead when they were written.
BRING_TO_NOW = "UPDATE calls SET updated_at = :now WHERE updated_at > :now"
# Of a damaged file, what is whole.
RESCUE = """
SELECT rowid, call_id, client, project, shared_id, state, started_at, updated_at, body FROM calls
WHERE rowid > ? AND json_valid(body) AND typeof(started_at) = 'integer' AND typeof(updated_at) = 'integer'
ORDER BY rowid LIMIT ?
"""
PUT_BACK = """
INSERT OR IGNORE INTO calls (call_id, client, project, shared_id, state, started_at, updated_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

END_OF_TIME = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def to_row(record: CallRecord, updated_at: int) -> Row:
    """Make the row of a record. Raises `StoreError` where its text cannot be written as UTF-8."""
    try:
        body = record.model_dump_json()
    except ValueError as error:  # lone surrogates
        raise StoreError(f"call {record.call_id} holds text that cannot be stored") from error
    return Row(
        record.call_id,
        record.client,
        record.project,
        record.shared_id,
        record.state.value,
        microseconds(record.started_at),
        updated_at,
        body,
    )


def to_record(body: str) -> CallRecord:
    """Read a record back. Raises `StoreError` where it is none, without quoting it."""
    try:
        # Not model_validate_json: it stops at a nesting that agents may reach in `data`, and that can be written.
        return CallRecord.model_validate(json.loads(body))
    except (ValidationError, ValueError, RecursionError):
        raise StoreError("a stored record cannot be read: the file was changed by something else") from None
