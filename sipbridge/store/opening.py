"""From the configured URL to a store."""

from __future__ import annotations

from datetime import timedelta

from sipbridge.calls.ports import RecordStore
from sipbridge.config import StoreConfig
from sipbridge.errors import StartupError
from sipbridge.store.sqlite import SqliteStore


def open_store(config: StoreConfig) -> RecordStore:
    """Open the store of `store.url`. Raises `StartupError` where it cannot be used."""
    path = config.sqlite_path
    if path is None:
        raise StartupError("store.url: this version opens sqlite:///PATH only")
    return SqliteStore(path, retention=timedelta(hours=config.retention_hours))
