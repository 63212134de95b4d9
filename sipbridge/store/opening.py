"""Opens the store and the journal that the configuration names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sipbridge.calls.ports import RecordStore, Unfinished
from sipbridge.config import StoreConfig
from sipbridge.errors import StartupError
from sipbridge.store.calls.store import SqliteStore
from sipbridge.store.journal.journal import FileJournal


def open_journal(config: StoreConfig) -> tuple[FileJournal, list[Unfinished]]:
    """Open the journal; return it and the calls that an earlier run left unfinished. Raises `StartupError`."""
    journal = FileJournal(config.journal_path)
    return journal, journal.unfinished()


def open_store(config: StoreConfig, on_settled: Callable[[str], None] | None = None) -> RecordStore:
    """Open the store of `store.url`; for `on_settled` see `SqliteStore`. Raises `StartupError` if it cannot be used."""
    path = config.sqlite_path
    if path is None:
        raise StartupError("store.url: not supported in this release; use sqlite:///PATH")
    return SqliteStore(path, retention=timedelta(hours=config.retention_hours), on_settled=on_settled)
