"""Syncs of the disk, and a disk that hangs or fails."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipbridge.store.journal import file as file_module
from sipbridge.store.journal import journal as journal_module
from tests.store.records import make_record

from .journals import HEADERS, Open


async def test_a_hanging_disk_delays_no_caller_for_long(reopen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "WRITE_TIMEOUT_SECONDS", 0.01)
    hangs = threading.Event()
    monkeypatch.setattr(file_module, "_write_whole", lambda *_: hangs.wait())
    assert not await reopen().begin(make_record(), HEADERS)
    hangs.set()


@pytest.fixture
def hanging_sync(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let each sync hang until the test ends, as on a disk that hangs; set once the first one does."""
    hangs, released = threading.Event(), threading.Event()

    def sync(_: int) -> None:
        hangs.set()
        released.wait()

    monkeypatch.setattr(os, "fdatasync", sync)
    yield hangs
    released.set()


async def test_a_hanging_sync_delays_no_caller_and_no_entry(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch, hanging_sync: threading.Event
) -> None:
    monkeypatch.setattr(journal_module, "WRITE_TIMEOUT_SECONDS", 0.01)
    journal = reopen()
    assert not await journal.signalling(make_record("call-1"))
    assert await asyncio.to_thread(hanging_sync.wait, 10)
    monkeypatch.setattr(journal_module, "WRITE_TIMEOUT_SECONDS", 10.0)
    assert await journal.begin(make_record("call-2"), HEADERS)
    # The sync thread cannot write it.
    signalling = asyncio.create_task(journal.signalling(make_record("call-2")))
    async with asyncio.timeout(10):
        while path.read_bytes().count(b'"signalling"') < 2:  # noqa: ASYNC110 (a file sends no notification)
            await asyncio.sleep(0.01)
    assert not signalling.done(), "the disk has not confirmed it"
    signalling.cancel()


async def test_an_answered_call_waits_for_no_sync(reopen: Open, hanging_sync: threading.Event) -> None:
    journal = reopen()
    signalling = asyncio.create_task(journal.signalling(make_record("call-1")))
    assert await journal.begin(make_record("call-2"), HEADERS)
    assert await asyncio.to_thread(hanging_sync.wait, 10)
    assert not signalling.done()
    signalling.cancel()


async def test_signals_at_one_time_share_a_sync(reopen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    monkeypatch.setattr(journal_module, "SYNC_SPACING_SECONDS", 0.5)
    journal = reopen()
    assert await journal.signalling(make_record("first"))
    signalling = []
    for number in range(5):
        signalling.append(asyncio.create_task(journal.signalling(make_record(f"call-{number}"))))
        await asyncio.sleep(0.01)  # time enough for a sync of its own
    assert all(await asyncio.gather(*signalling))
    assert len(syncs) == 2


async def test_a_sync_that_fails_confirms_no_signal(reopen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "the disk failed")

    monkeypatch.setattr(os, "fdatasync", fail)
    assert not await reopen().signalling(make_record())
