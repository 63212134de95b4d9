"""A journal that a test opens, and opens again as the next start does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sipbridge.store.journal.journal import FileJournal

from .journals import Open


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db.journal"


@pytest.fixture
async def reopen(path: Path) -> AsyncIterator[Open]:
    opened: list[FileJournal] = []

    def open_it() -> FileJournal:
        opened.append(FileJournal(path))
        return opened[-1]

    yield open_it
    for journal in opened:
        await journal.close()
