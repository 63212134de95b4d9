"""Helpers for tests of the journal."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from sipbridge.calls.ports.store import Unfinished
from sipbridge.store.journal.journal import FileJournal

HEADERS = {"X-Line": "gold"}
Open = Callable[[], FileJournal]

_COPIES = itertools.count(1)


def open_calls_in(path: Path) -> list[Unfinished]:
    """Return the calls that a start would find now if the writing process crashed."""
    copy = path.with_name(f"copy-{next(_COPIES)}")  # the last one may still be open
    copy.write_bytes(path.read_bytes())
    journal = FileJournal(copy)
    found = journal.unfinished()
    asyncio.get_running_loop().create_task(journal.close())
    return found
