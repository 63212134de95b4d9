"""Storage that outlives the process: call records (`calls.ports.RecordStore`) and the journal of calls in progress."""

from sipbridge.store.opening import open_journal, open_store

__all__ = ["open_journal", "open_store"]
