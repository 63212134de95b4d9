"""The durability of writes: when the process is killed and, a second later, when the power fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sipbridge.chats.ports import ChatStore
from sipbridge.errors import StoreError
from sipbridge.store.chats import sync
from tests.store.chats.chats import (
    change,
    make_chat,
    make_event,
    make_message,
    read,
)
from tests.store.chats.conftest import OpenChats


async def test_closing_writes_what_is_queued(reopen: OpenChats) -> None:
    store = await reopen()
    await store.create(make_chat())
    writes = [asyncio.ensure_future(store.write(change(make_event(n)))) for n in range(1, 1201)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writes)
    assert len((await read(await reopen())).events) == 1200


async def test_a_closed_store_raises_an_error(store: ChatStore) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.create(make_chat())
    with pytest.raises(StoreError, match="closed"):
        await store.write(change())
    with pytest.raises(StoreError, match="closed"):
        await store.unfinished()


WRITE_UNTIL_KILLED = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sipbridge.chats.model import BotMessage, ChatRecord
from sipbridge.chats.ports import ChatChange
from sipbridge.store.chats.store import SqliteChatStore

async def write(store, chat):
    for number in range(1_000_000):
        message = BotMessage(id=str(number), text="x" * 200, at=datetime.now(UTC))
        await store.write(ChatChange(chat.uid, entries=[message]))
        print(chat.chat_id, number, flush=True)

async def main():
    store = SqliteChatStore(Path(sys.argv[1]), retention=timedelta(days=1))
    chats = [await store.create(ChatRecord.model_validate_json(chat)) for chat in sys.argv[2:]]
    await asyncio.gather(*(write(store, chat) for chat in chats))

asyncio.run(main())
"""


async def test_no_acknowledged_message_is_lost_by_a_killed_process(path: Path, reopen: OpenChats) -> None:
    names = [f"chat-{n}" for n in range(8)]
    chats = [make_chat(name).model_dump_json() for name in names]
    arguments = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(path), *chats]
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603, ASYNC220 (this test's own program, and nothing else runs meanwhile)
        assert child.stdout
        for line in child.stdout:
            if not line.endswith("\n"):  # the kill cut it
                break
            name, number = line.split()
            acknowledged[name] = int(number)
            if len(acknowledged) == len(names) and int(number) == 200:
                os.kill(child.pid, signal.SIGKILL)
    assert len(acknowledged) == len(names)
    stored = {chat.record.chat_id: chat.messages for chat in await (await reopen()).unfinished()}
    for name in names:
        numbers = [int(message.id) for message in stored[name]]
        assert numbers == list(range(len(numbers))), "order kept, nothing twice, no gap"
        assert len(numbers) - 1 - acknowledged[name] in (0, 1), "one write may have been unacknowledged"


async def test_what_is_written_is_in_the_file_itself_within_a_second(
    path: Path, store: ChatStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "SYNC_SECONDS", 0.05)
    await store.create(make_chat())
    for number in range(3):
        await store.write(change(make_message(number)))
        async with asyncio.timeout(5):
            while _messages_without_log(path, tmp_path / "copy.db") != number + 1:  # noqa: ASYNC110 (there is no notification)
                await asyncio.sleep(0.02)


def _messages_without_log(path: Path, copy: Path) -> int:
    """Return the number of messages in the file, as after a loss of power that lost the whole log."""
    for file in copy.parent.glob("copy.db*"):
        file.unlink()
    shutil.copy(path, copy)
    try:
        with closing(sqlite3.connect(copy)) as connection:
            count: int = connection.execute("SELECT count(*) FROM chat_entries").fetchone()[0]
    except sqlite3.DatabaseError:  # copied while it was written
        return -1
    return count


async def test_the_log_is_reused_while_changes_go_on(
    path: Path, reopen: OpenChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "SYNC_SECONDS", 0.02)
    monkeypatch.setattr(sync, "MAX_LOG_PAGES", 50)
    store = await reopen()
    await store.create(make_chat())
    written = 0
    for number in range(1, 501):
        message = make_message(number, text="x" * 3000)
        await store.write(change(make_event(number), message))
        written += len(message.text)
    assert path.with_name(f"{path.name}-wal").stat().st_size < 3 * written, "pages have six times the text"
    assert len((await read(store)).events) == 500
