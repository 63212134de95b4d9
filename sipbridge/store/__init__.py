"""Where call records outlive the process: one Protocol (`calls.ports.RecordStore`), one module a database."""

from sipbridge.store.opening import open_journal, open_store

__all__ = ["open_journal", "open_store"]
