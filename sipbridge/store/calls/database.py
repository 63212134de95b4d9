"""Writing and erasing the rows of calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sipbridge.store.calls import rows
from sipbridge.store.sqlite.database import Database


def put_rows(database: Database, new: Sequence[rows.Row]) -> None:
    """Write rows; each replaces an older row of the same call."""
    if len(new) == 1:
        # A statement of its own is a transaction, with a third of the calls into SQLite.
        database.connection.execute(rows.PUT, new[0])
        return
    with database.transaction() as connection:
        connection.executemany(rows.PUT, new)


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
