"""Writing and erasing the rows of calls."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from sipbridge.calls.milestones import LAST
from sipbridge.store.calls import rows
from sipbridge.store.calls.backlog import Entry
from sipbridge.store.sqlite.database import Database


def put_rows(
    database: Database,
    entries: Sequence[Entry],
    log: Sequence[tuple[int | str, ...]],
    delivered: Mapping[str, int],
) -> None:
    """Write rows; each replaces an older row of the same call. Add to the log, and write positions of webhooks."""
    if not (entries or log or delivered):
        return
    waiting = [(entry.row.call_id, 0) for entry in entries if entry.for_webhook]
    with database.transaction() as connection:
        connection.executemany(rows.PUT, [entry.row.columns for entry in entries])
        connection.executemany(rows.LOG, log)
        connection.executemany(rows.EXPECT_DELIVERY, waiting)
        _mark_delivered(connection, delivered)


def _mark_delivered(connection: sqlite3.Connection, delivered: Mapping[str, int]) -> None:
    all_, some = [], []
    for call_id, sequence in delivered.items():
        if sequence == LAST:
            all_.append((call_id,))
        else:
            some.append((sequence, call_id))
    connection.executemany(rows.MARK_ALL_DELIVERED, all_)
    connection.executemany(rows.MARK_DELIVERED, some)


def erase_rows(database: Database, client: str, project: str, criteria: Iterable[tuple[str, str]]) -> set[str]:
    """Delete the rows of a project that match any (column, value) pair; return their call ids."""
    database.rescue_all()  # a row that is carried over later would not be erased
    with database.transaction() as connection:
        erased = {
            call_id
            for column, value in criteria
            for (call_id,) in connection.execute(rows.DELETE[column], (client, project, value)).fetchall()
        }
    if erased:
        database.mark_erased()
    database.clear_log()
    return erased
