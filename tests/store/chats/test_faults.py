"""Chats while the file fails: a write fails at once and leaves nothing, and the next one is tried again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from sipbridge.chats.ports import ChatChange, ChatStore
from sipbridge.errors import StartupError, StoreError
from sipbridge.store.chats import rescue, writer
from sipbridge.store.chats.schema import SCHEMA
from sipbridge.store.sqlite import database
from sipbridge.store.sqlite.schema import connect_writer
from tests.store.chats.chats import change, ended, make_chat, make_event, make_message, uid_of
from tests.store.chats.conftest import OpenChats
from tests.store.full_disk import full_disk

PAGE = 4096


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.02)
    monkeypatch.setattr(writer, "CHECK_SECONDS", 0.02)


async def fails(store: ChatStore, wrong: ChatChange, words: str = "could not be written") -> None:
    with pytest.raises(StoreError, match=words):
        await store.write(wrong)


async def error_of(operation: Awaitable[object]) -> str | None:
    try:
        await operation
    except StoreError as error:
        return str(error)
    return None


async def write_until_stored(store: ChatStore, wanted: ChatChange) -> None:
    """Write a change, with retries until the store accepts it."""
    async with asyncio.timeout(30):
        while True:
            with suppress(StoreError):
                await store.write(wanted)
                return
            await asyncio.sleep(0.01)


async def logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until the log has this text."""
    async with asyncio.timeout(30):
        while words not in caplog.text:  # noqa: ASYNC110 (the log sends no notification)
            await asyncio.sleep(0.01)


async def messages(store: ChatStore, chat_id: str = "chat-1") -> list[str]:
    """Return the ids of the messages of a chat."""
    chat = await store.read(uid_of(chat_id))
    assert chat
    return [message.id for message in chat.messages]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database locked, as another process with an open transaction would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        yield


# ------------------------------------------------------------ a file that cannot be written


async def test_writes_fail_while_the_file_is_locked_and_work_again_after(
    path: Path, store: ChatStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.create(make_chat())
    with locked(path):
        await fails(store, change(make_message(1), make_event(1)))
        with pytest.raises(StoreError, match="locked"):
            await store.create(make_chat("other"))
        with pytest.raises(StoreError, match="locked"):
            await store.delete("acme", "support", "chat-1")
        assert await messages(store) == []
    await store.write(change(make_message(1), make_event(1)))
    await store.create(make_chat("other"))
    assert await messages(store) == ["m-1"]
    assert caplog.text.count("chats cannot go on") == 1
    assert "the store of chats recovered" in caplog.text


async def test_a_position_of_a_webhook_waits_while_the_file_is_locked(path: Path, store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_event(1)))
    with locked(path):
        store.mark_delivered(uid_of("chat-1"), 1)
        await asyncio.sleep(0.5)
        assert len(await store.undelivered()) == 1
    async with asyncio.timeout(5):
        while await store.undelivered():  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


FULL_DISK = """
import asyncio, resource, signal, sys
from datetime import timedelta
from pathlib import Path
from sipbridge.chats.model import BotMessage, ChatRecord
from sipbridge.chats.ports import ChatChange
from sipbridge.errors import StoreError
from sipbridge.store.chats.store import SqliteChatStore

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    record = ChatRecord.model_validate_json(sys.argv[2])
    message = BotMessage(id="m", text="x" * 1000, at=record.started_at)
    store = SqliteChatStore(Path(sys.argv[1]), retention=timedelta(days=1))
    await store.create(record)

    async def write():
        await store.write(ChatChange(record.uid, entries=[message, message]))

    async def fill():
        written = 0
        try:
            while True:
                await write()
                written += 1
        except StoreError as error:
            assert "could not be written" in str(error)
            return written

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, unlimited[1]))
    written = await fill()
    refused = await asyncio.gather(*(write() for _ in range(100)), return_exceptions=True)
    written += refused.count(None)
    assert written < 100 and refused.count(None) < 100
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    for _ in range(100):
        await write()
    stored = await store.read(record.uid)
    assert len(stored.messages) == 2 * (written + 100), (len(stored.messages), written)
    await store.close()
    print("works again", flush=True)

asyncio.run(main())
"""


def test_a_write_to_a_full_disk_fails_and_leaves_nothing(path: Path) -> None:
    arguments = [sys.executable, "-c", FULL_DISK, str(path), make_chat().model_dump_json()]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 (this test's own program)
    assert (ended.stdout, ended.returncode) == ("works again\n", 0), ended.stderr


# ------------------------------------------------------------ a file that was deleted or replaced

REMOVALS = {
    "the file": ["calls.db.chats"],
    "all of it": ["calls.db.chats", "calls.db.chats-wal", "calls.db.chats-shm"],
    "its log": ["calls.db.chats-wal"],
}


@pytest.mark.parametrize("names", REMOVALS.values(), ids=REMOVALS)
async def test_a_file_deleted_while_in_use_is_recreated_with_all_its_chats(
    path: Path,
    reopen: OpenChats,
    names: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rescue, "CHATS", 2)
    store = await reopen()
    over = [f"over-{n}" for n in range(7)]
    for name in (*over, "chat-1"):
        await store.create(make_chat(name))
        await store.write(change(make_message(1), make_event(1, name), of=name))
        await store.write(change(of=name, record=ended(name) if name in over else None))
    store.mark_delivered(uid_of("chat-1"), 1)
    await asyncio.sleep(0.3)
    assert len(await store.undelivered()) == 7
    for name in names:
        path.with_name(name).unlink()
    await logged(caplog, "deleted or replaced while in use")
    await write_until_stored(store, change(make_message(2), make_event(2)))
    if "calls.db.chats" in names:
        await logged(caplog, "records copied into the new database: 8")
    store.mark_delivered(uid_of("chat-1"), 2)
    await store.close()
    again = await reopen()
    assert [chat.record.chat_id for chat in await again.unfinished()] == ["chat-1"]
    assert await messages(again) == ["m-1", "m-2"]
    for name in over:
        assert await messages(again, name) == ["m-1"]
    assert {record.chat_id: last for record, last in await again.undelivered()} == dict.fromkeys(over, 0)


async def test_a_file_deleted_while_idle_is_detected(path: Path, store: ChatStore) -> None:
    await store.create(make_chat())
    path.unlink()
    async with asyncio.timeout(5):
        while not path.exists():  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)
    await write_until_stored(store, change(make_message(1)))
    assert await messages(store) == ["m-1"]


async def test_a_file_that_replaces_ours_is_used_and_gets_our_chats(
    path: Path, store: ChatStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.db"
    with closing(connect_writer(other, SCHEMA, busy_seconds=1)):
        pass
    await store.create(make_chat())
    await store.write(change(make_message(1)))
    other.rename(path)
    await logged(caplog, "records copied into the new database: 1")
    await write_until_stored(store, change(make_message(2)))
    assert await messages(store) == ["m-1", "m-2"]


async def test_a_chat_in_progress_that_cannot_be_copied_is_written_again(
    path: Path, store: ChatStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("lost", "kept"):
        await store.create(make_chat(name))
        await store.write(change(make_message(1), of=name))
    with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        intruder.execute("DELETE FROM chats WHERE chat_id = 'lost'")
    path.unlink()
    await logged(caplog, "records copied into the new database: 1")
    await write_until_stored(store, change(make_message(2), of="lost"))
    assert await messages(store, "lost") == ["m-2"]
    assert await messages(store, "kept") == ["m-1"]


async def test_writes_fail_while_the_folder_is_missing(tmp_path: Path, store: ChatStore) -> None:
    await store.create(make_chat())
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    async with asyncio.timeout(5):
        while (failure := await error_of(store.write(change()))) is None:  # noqa: ASYNC110 (the check sends no notification)
            await asyncio.sleep(0.01)
    assert "could not be written" in failure
    moved.rename(tmp_path)
    await write_until_stored(store, change(make_message(1)))
    assert await messages(store) == ["m-1"]


async def test_who_goes_on_with_chats_waits_until_a_full_disk_takes_them(path: Path, store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_message(1, text="x" * 400_000), make_event(1)))
    [whole] = await store.unfinished()
    with full_disk(250_000):  # enough for the tables
        path.unlink()
        async with asyncio.timeout(30):
            while "not all copied" not in (await error_of(store.unfinished()) or ""):  # noqa: ASYNC110 (the copy sends no notification)
                await asyncio.sleep(0.01)
        assert "not all copied" in (await error_of(store.undelivered()) or "")
    async with asyncio.timeout(30):
        while await error_of(store.unfinished()):  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.01)
    assert await store.unfinished() == [whole]
    assert len(await store.undelivered()) == 1


# ------------------------------------------------------------ a file that is corrupt

OVERWRITE = """
import os, sys
os.pwrite(os.open(sys.argv[1], os.O_WRONLY), bytes.fromhex(sys.argv[3]), int(sys.argv[2]))
"""


def overwrite(path: Path, place: int, data: bytes) -> None:
    """Write into a file from another process: closing it in this one would release SQLite's locks."""
    subprocess.run([sys.executable, "-c", OVERWRITE, path, str(place), data.hex()], check=True)  # noqa: S603 (this test's own program)


def corrupt_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("calls.db.chats.corrupt-*"))


async def fill(store: ChatStore) -> list[str]:
    """Write many chats that are over, and one in progress; return their ids."""
    names = [f"over-{n}" for n in range(200)]
    await asyncio.gather(*(store.create(make_chat(name)) for name in (*names, "chat-1")))
    await asyncio.gather(
        *(store.write(change(make_message(1, text="x" * 1000), of=name, record=ended(name))) for name in names)
    )
    await store.write(change(make_message(1), make_event(1)))
    return [*names, "chat-1"]


def checkpoint(path: Path) -> None:
    """Checkpoint the write-ahead log into the file."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


async def test_a_file_that_becomes_corrupt_is_moved_aside_and_its_chats_go_on(
    path: Path, store: ChatStore, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(store)
    checkpoint(path)
    overwrite(path, 0, b"no database, by any means".ljust(PAGE))
    await write_until_stored(store, change(make_message(2)))
    assert "database corrupt; moved aside" in caplog.text
    assert corrupt_files(path)[0].read_bytes().startswith(b"no database")
    assert (await messages(store))[-1] == "m-2"
    await logged(caplog, "copied into the new database")
    assert [chat.record.chat_id for chat in await store.unfinished()] == ["chat-1"]


async def test_damage_that_a_read_finds_is_repaired(
    path: Path, reopen: OpenChats, caplog: pytest.LogCaptureFixture
) -> None:
    first = await reopen()
    names = await fill(first)
    await first.close()
    pages = path.stat().st_size // PAGE
    for page in range(pages // 2, pages // 2 + 10):
        overwrite(path, page * PAGE, b"\xde\xad\xbe\xef" * (PAGE // 4))
    second = await reopen()
    for name in names:
        with suppress(StoreError):
            await second.read(uid_of(name))
    await logged(caplog, "copied into the new database")
    assert "database corrupt; moved aside" in caplog.text
    found = [name for name in names if await second.read(uid_of(name))]
    assert 100 < len(found) <= len(names)


async def test_a_corrupt_file_is_moved_aside_at_the_start(
    path: Path, reopen: OpenChats, caplog: pytest.LogCaptureFixture
) -> None:
    first = await reopen()
    await fill(first)
    await first.close()
    os.truncate(path, path.stat().st_size // 2)
    store = await reopen()
    unfinished = [chat.record.chat_id for chat in await store.unfinished()]
    assert unfinished in ([], ["chat-1"])
    assert "copied into the new database" in caplog.text
    assert "database corrupt; moved aside" in caplog.text
    assert corrupt_files(path)
    await store.create(make_chat("after"))
    await store.write(change(make_message(1), of="after"))
    assert await messages(store, "after") == ["m-1"]


# ------------------------------------------------------------ the start


async def test_a_file_of_a_newer_version_is_not_changed(path: Path, reopen: OpenChats) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StartupError, match=r"store\.url: .*calls\.db\.chats has schema version 99.* needs 1"):
        await reopen()


@pytest.mark.usefixtures("store")
async def test_a_file_in_use_is_refused(reopen: OpenChats) -> None:
    with pytest.raises(StartupError, match=rf"chats is in use by another sipbridge \(process {os.getpid()}\)"):
        await reopen()


async def test_the_files_are_readable_by_their_owner_only(path: Path, store: ChatStore) -> None:
    await store.create(make_chat())
    assert {file.stat().st_mode & 0o777 for file in path.parent.glob("calls.db.chats*")} == {0o600}
