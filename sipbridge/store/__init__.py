"""Storage that outlives the process: the records of calls, the chats, and the journal of calls in progress.

It implements `calls.ports.RecordStore`, `calls.ports.CallJournal` and `chats.ports.ChatStore`.
"""

from sipbridge.store.calls.settling import OnSettled
from sipbridge.store.opening import open_chat_store, open_journal, open_store

__all__ = ["OnSettled", "open_chat_store", "open_journal", "open_store"]
