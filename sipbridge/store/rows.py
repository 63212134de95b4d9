"""Records as rows and back."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from sipbridge.calls.model import CallRecord
from sipbridge.errors import StoreError

Row = tuple[str, str, str, str, str, int, int, str]

PUT = """
INSERT INTO calls (call_id, client, project, shared_id, state, started_at, updated_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (call_id) DO UPDATE SET
    shared_id = excluded.shared_id, state = excluded.state, updated_at = excluded.updated_at, body = excluded.body
"""
GET = "SELECT body FROM calls WHERE client = ? AND project = ? AND call_id = ?"
GET_SHARED = """
SELECT body FROM calls WHERE client = ? AND project = ? AND shared_id = ? ORDER BY started_at DESC LIMIT 1
"""
LIST = """
SELECT body FROM calls WHERE client = ? AND project = ? AND started_at < ? ORDER BY started_at DESC LIMIT ?
"""
DELETE_OLD = "DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls WHERE updated_at < ? LIMIT ?)"

END_OF_TIME = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def to_row(record: CallRecord) -> Row:
    """Make the row of a record, updated now. Raises `StoreError` where its text cannot be written as UTF-8."""
    try:
        body = record.model_dump_json()
    except ValueError as error:  # lone surrogates
        raise StoreError(f"call {record.call_id} holds text that cannot be stored") from error
    return (
        record.call_id,
        record.client,
        record.project,
        record.shared_id,
        record.state.value,
        microseconds(record.started_at),
        time.time_ns() // 1000,
        body,
    )


def to_record(body: str) -> CallRecord:
    """Read a record back. Raises `StoreError` where it is none, without quoting it."""
    try:
        # Not model_validate_json: it stops at a nesting that agents may reach in `data`, and that can be written.
        return CallRecord.model_validate(json.loads(body))
    except (ValidationError, ValueError, RecursionError):
        raise StoreError("a stored record cannot be read: the file was changed by something else") from None
