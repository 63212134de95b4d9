"""The copy of an abandoned file while the disk is full: what a failed commit took back is copied again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from sipbridge.store.calls import rescue as call_rescue
from sipbridge.store.calls import rows as call_rows
from sipbridge.store.calls.rescue import CallRescue
from sipbridge.store.calls.schema import SCHEMA as CALLS
from sipbridge.store.chats import rescue as chat_rescue
from sipbridge.store.chats import rows as chat_rows
from sipbridge.store.chats.rescue import ChatRescue
from sipbridge.store.chats.schema import SCHEMA as CHATS
from sipbridge.store.sqlite.database import Database
from sipbridge.store.sqlite.rescue import Rescue
from sipbridge.store.sqlite.schema import Schema
from tests.store.chats.chats import ended, make_chat, make_message, uid_of
from tests.store.full_disk import full_disk
from tests.store.records import make_record

STEP = 10
RECORDS = [f"record-{n:02}" for n in range(25)]
IN_PROGRESS = RECORDS[:3]
POSITION = 3  # of each webhook


@dataclass(frozen=True)
class Tables:
    """The tables of calls or of chats: `read` selects what has to be in the new file."""

    schema: Schema
    start_rescue: Callable[[sqlite3.Connection], Rescue]
    fill: Callable[[sqlite3.Connection], None]
    read: str


def fill_calls(connection: sqlite3.Connection) -> None:
    for name in RECORDS:
        connection.execute(call_rows.PUT, call_rows.to_row(make_record(name), 0).columns)
        connection.execute(call_rows.EXPECT_DELIVERY, (name, POSITION))


def fill_chats(connection: sqlite3.Connection) -> None:
    for name in RECORDS:
        record = make_chat(name) if name in IN_PROGRESS else ended(name)
        id_ = connection.execute(chat_rows.CREATE, (*chat_rows.to_row(record), 0)).lastrowid
        connection.execute(chat_rows.CREATE_WEBHOOK, (id_, POSITION))
        [entry] = chat_rows.to_entry_rows(uid_of(name), [make_message()])
        connection.execute(chat_rows.PUT_BACK_ENTRY, (id_, entry.kind, 1, entry.body))


TABLES = {
    "calls": Tables(
        CALLS,
        CallRescue,
        fill_calls,
        "SELECT c.*, sequence FROM calls AS c JOIN call_webhooks USING (call_id) ORDER BY call_id",
    ),
    "chats": Tables(
        CHATS,
        ChatRescue,
        fill_chats,
        """
        SELECT uid, c.body, sequence, kind, number, e.body
        FROM chats AS c JOIN chat_webhooks AS w ON w.chat = id JOIN chat_entries AS e ON e.chat = id ORDER BY uid
        """,
    ),
}


@pytest.fixture(params=TABLES)
def tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tables:
    monkeypatch.setattr(call_rescue, "ROWS", STEP)
    monkeypatch.setattr(chat_rescue, "CHATS", STEP)
    return TABLES[request.param]


def test_each_step_that_a_full_disk_takes_back_is_taken_again(
    tmp_path: Path, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    with closing(Database(path, tables.schema, tables.start_rescue)) as database:
        with database.transaction() as connection:
            tables.fill(connection)
        stored = database.connection.execute(tables.read).fetchall()
        assert len(stored) == len(RECORDS)
        path.unlink()
        database.follow_path()
        statements: list[str] = []
        database.connection.set_trace_callback(statements.append)
        more = True
        while more:
            for _ in range(2):
                statements.clear()
                with full_disk(), pytest.raises(sqlite3.OperationalError, match="disk"):
                    database.rescue()
                assert "COMMIT" in statements, "the rows fit into memory; the commit fails"
            assert "records copied" not in caplog.text
            more = database.rescue()
        assert database.connection.execute(tables.read).fetchall() == stored
    assert f"records copied into the new database: {len(RECORDS)}" in caplog.text
