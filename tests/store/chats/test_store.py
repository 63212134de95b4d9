from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sipbridge.chats.model import AttachmentFile, ChatState, DeliveryStatus, EndRequest
from sipbridge.chats.ports import ChatStore, StoredChat
from sipbridge.errors import StoreError
from sipbridge.store.chats import store as store_module
from sipbridge.store.chats import sync, tables
from tests.store.chats.chats import (
    change,
    ended,
    make_chat,
    make_delivery,
    make_event,
    make_message,
    uid_of,
)
from tests.store.chats.conftest import OpenChats
from tests.store.records import START, make_handoff


async def read(store: ChatStore, chat_id: str = "chat-1") -> StoredChat:
    chat = await store.read(uid_of(chat_id))
    assert chat
    return chat


async def test_a_chat_is_read_as_it_was_written(store: ChatStore) -> None:
    end = EndRequest(by="customer", reason="left", at=START)
    active = make_chat(state=ChatState.ACTIVE, channel_state={"cursor": [1, None, "ü\x00"]})
    assert await store.create(make_chat()) == make_chat()
    await store.write(change(make_message(1), make_event(1)))
    await store.write(change(make_delivery(1), make_event(2), make_message(2), record=active))
    await store.write(change(end))
    assert await read(store) == StoredChat(
        record=active,
        messages=[make_message(1), make_message(2)],
        deliveries={"m-1": make_delivery(1)},
        end_request=end,
        events=[make_event(1), make_event(2)],
    )
    assert await store.get("acme", "support", "chat-1") == active


async def test_a_file_is_found_by_its_id_and_read_apart_from_the_chat(reopen: OpenChats) -> None:
    store, file = reopen(), AttachmentFile.new("form.pdf", "application/pdf", bytes(range(256)))
    other = AttachmentFile.new("other", "", b"x")
    await store.create(make_chat())
    await store.write(change(file, make_event(1), other))
    await store.write(change(make_message(1)))
    await store.close()
    store = reopen()
    await store.write(change(make_message(2)))
    assert await store.attachment(uid_of("chat-1"), file.id) == file
    assert await store.attachment(uid_of("chat-1"), other.id) == other
    assert await store.attachment(uid_of("chat-2"), file.id) is None
    assert await store.attachment(uid_of("chat-1"), "0" * 15) is None
    chat = await read(store)
    assert (chat.messages, chat.events) == ([make_message(1), make_message(2)], [make_event(1)])
    [unfinished] = await store.unfinished()
    assert unfinished == chat


async def test_a_file_is_erased_with_its_chat(store: ChatStore) -> None:
    file = AttachmentFile.new("form.pdf", "application/pdf", b"content")
    await store.create(make_chat())
    await store.write(change(file, record=ended()))
    assert await store.delete("acme", "support", "chat-1")
    assert await store.attachment(uid_of("chat-1"), file.id) is None


async def test_data_nested_to_the_limit_is_stored(store: ChatStore) -> None:
    deep: object = "core"
    for _ in range(200):
        deep = [deep]
    record = make_chat(handoff=make_handoff(data={"deep": deep}))
    await store.create(record)
    assert await store.get("acme", "support", "chat-1") == record


async def test_the_first_request_to_end_counts(store: ChatStore) -> None:
    await store.create(make_chat())
    for by in ("customer", "bot"):
        await store.write(change(EndRequest(by=by, at=START)))
    assert (await read(store)).end_request == EndRequest(by="customer", at=START)


async def test_the_last_delivery_of_a_message_counts(store: ChatStore) -> None:
    await store.create(make_chat())
    last = make_delivery(1, status=DeliveryStatus.FAILED)
    for each in (make_delivery(1), make_delivery(2), last):
        await store.write(change(each))
    assert (await read(store)).deliveries == {"m-1": last, "m-2": make_delivery(2)}


async def test_an_unknown_chat_is_not_found(store: ChatStore) -> None:
    assert await store.read(uid_of("chat-1")) is None
    assert await store.get("acme", "support", "chat-1") is None
    assert await store.events(uid_of("chat-1"), after=0) == []


# ------------------------------------------------------------ create


async def test_of_two_chats_with_one_id_the_first_is_stored(store: ChatStore) -> None:
    first, second = make_chat(), make_chat(uid=uid_of("other"), digest="d2")
    assert await asyncio.gather(*map(store.create, (first, second))) == [first, first]
    assert await store.create(second) == first
    assert await store.read(uid_of("other")) is None


async def test_projects_may_use_the_same_id(store: ChatStore) -> None:
    here, there = make_chat(), make_chat(uid=uid_of("other"), project="sales")
    assert [await store.create(chat) for chat in (here, there)] == [here, there]
    assert await store.get("acme", "sales", "chat-1") == there


async def test_a_repeated_creation_returns_the_present_record(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(record=ended()))
    assert await store.create(make_chat()) == ended()


# ------------------------------------------------------------ write


async def test_entries_keep_the_order_of_the_writes(store: ChatStore) -> None:
    await asyncio.gather(*(store.create(make_chat(f"chat-{n}")) for n in range(5)))
    writes = [
        store.write(change(make_message(step), make_event(step, f"chat-{n}"), of=f"chat-{n}"))
        for step in range(1, 201)
        for n in range(5)
    ]
    await asyncio.gather(*writes)
    for n in range(5):
        chat = await read(store, f"chat-{n}")
        assert [message.id for message in chat.messages] == [f"m-{step}" for step in range(1, 201)]
        assert [event.sequence for event in chat.events] == list(range(1, 201))


async def test_the_newest_record_of_a_batch_is_stored(store: ChatStore) -> None:
    await store.create(make_chat())
    states = (ChatState.QUEUED, ChatState.ACTIVE, ChatState.ENDED)
    await asyncio.gather(*(store.write(change(record=make_chat(state=state))) for state in states))
    assert (await read(store)).record.state is ChatState.ENDED


async def test_changes_that_wait_are_committed_together(reopen: OpenChats, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = tables.Tables.change

    def counted(self: tables.Tables, items: list[tables.Change], *rest: object) -> object:
        sizes.append(len(items))
        return write(self, items, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tables.Tables, "change", counted)
    store = reopen()
    await store.create(make_chat())
    await asyncio.gather(*(store.write(change(make_event(n))) for n in range(1, 1001)))
    assert sum(sizes) == 1000
    assert len(sizes) < 50
    assert len((await read(store)).events) == 1000


async def test_a_change_of_a_chat_that_is_not_stored_fails_alone(store: ChatStore) -> None:
    await store.create(make_chat())
    known, unknown = store.write(change(make_message())), store.write(change(make_message(), of="unknown"))
    results = await asyncio.gather(known, unknown, return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], StoreError)
    assert "is not stored" in str(results[1])
    assert await store.read(uid_of("unknown")) is None


async def test_no_two_events_of_a_chat_have_the_same_sequence(store: ChatStore) -> None:
    await asyncio.gather(*(store.create(make_chat(name)) for name in ("chat-1", "chat-2")))
    twice = [change(make_event(1), make_message(1)), change(make_message(2), make_event(1))]
    other = change(make_event(1, "chat-2"), of="chat-2")
    results = await asyncio.gather(*(store.write(each) for each in (*twice, other)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    chat = await read(store)
    assert (chat.messages, chat.events) == ([make_message(1)], [make_event(1)])
    assert len((await read(store, "chat-2")).events) == 1


async def test_entries_of_a_later_run_come_after_earlier_ones(reopen: OpenChats) -> None:
    for run in range(3):
        store = reopen()
        await store.create(make_chat())
        await store.write(change(make_message(2 * run)))
        await store.write(change(make_message(2 * run + 1)))
        await store.close()
    assert (await read(reopen())).messages == [make_message(n) for n in range(6)]


async def test_entries_may_follow_the_end(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_message(1), record=ended()))
    await store.write(change(make_delivery(1)))
    await store.write(change(make_delivery(2)))
    assert list((await read(store)).deliveries) == ["m-1", "m-2"]


async def test_text_that_is_not_unicode_fails_only_that_write(store: ChatStore) -> None:
    with pytest.raises(StoreError, match="text that is not valid Unicode"):
        await store.create(make_chat("broken", handoff=make_handoff(utterance="half \ud800")))
    await store.create(make_chat())
    with pytest.raises(StoreError, match="text that is not valid Unicode"):
        await store.write(change(make_event(1, payload={"text": "\ud800"})))
    await store.write(change(make_event(1)))
    assert (await read(store)).events == [make_event(1)]


async def test_a_cancelled_write_affects_no_other(store: ChatStore) -> None:
    await store.create(make_chat())
    cancelled = asyncio.create_task(store.write(change(make_message(1))))
    other = asyncio.create_task(store.write(change(make_message(2))))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other
    assert make_message(2) in (await read(store)).messages


# ------------------------------------------------------------ queries


async def test_a_project_sees_its_own_chats_only(store: ChatStore) -> None:
    await store.create(make_chat())
    for client, project in (("acme", "sales"), ("other", "support")):
        assert await store.get(client, project, "chat-1") is None
        assert await store.get_shared(client, project, "chat-1") is None
        assert await store.list_chats(client, project, limit=10) == []


async def test_of_two_chats_with_a_shared_id_the_newest_is_found(store: ChatStore) -> None:
    handoff = make_handoff(shared_id="crm-7")
    newest = make_chat("new", started_at=START + timedelta(microseconds=1), handoff=handoff)
    for chat in (newest, make_chat("old", handoff=handoff)):
        await store.create(chat)
    assert await store.get_shared("acme", "support", "crm-7") == newest
    await store.write(change(of="new", record=newest.model_copy(update={"handoff": make_handoff(shared_id="x")})))
    found = await store.get_shared("acme", "support", "crm-7")
    assert found
    assert found.chat_id == "old"


async def test_chats_are_listed_newest_first_and_in_pages(store: ChatStore) -> None:
    for minute in (2, 0, 1, 3):
        await store.create(make_chat(f"chat-{minute}", started_at=START + timedelta(minutes=minute)))
    page = await store.list_chats("acme", "support", limit=2)
    assert [record.chat_id for record in page] == ["chat-3", "chat-2"]
    rest = await store.list_chats("acme", "support", limit=2, before=page[-1].started_at)
    assert [record.chat_id for record in rest] == ["chat-1", "chat-0"]


async def test_events_are_resumed_by_sequence(store: ChatStore) -> None:
    await store.create(make_chat())
    await store.write(change(make_event(1), make_message(1), make_event(None), make_event(2)))
    await store.write(change(*(make_event(n) for n in range(3, 12))))
    everything = [make_event(n) for n in range(1, 12)]
    assert await store.events(uid_of("chat-1"), after=0) == everything
    assert await store.events(uid_of("chat-1"), after=3, limit=2) == everything[3:5]
    assert await store.events(uid_of("chat-1"), after=11) == []
    assert (await read(store)).events == everything, "typing is not stored"


async def test_chats_that_are_not_over_are_unfinished(reopen: OpenChats) -> None:
    first = reopen()
    for minute, state in enumerate(ChatState):
        name = f"chat-{state}"
        record = make_chat(name, started_at=START - timedelta(minutes=minute))
        await first.create(record)
        await first.write(change(make_message(1), make_event(1, name), of=name))
        await first.write(change(of=name, record=record.model_copy(update={"state": state})))
    await first.close()
    unfinished = await reopen().unfinished()
    assert [chat.record.state for chat in unfinished] == [ChatState.ACTIVE, ChatState.QUEUED, ChatState.REQUESTED]
    assert [(chat.messages, len(chat.events)) for chat in unfinished] == [([make_message(1)], 1)] * 3


async def test_a_chat_that_cannot_be_read_keeps_no_other_from_going_on(
    path: Path, store: ChatStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("broken", "whole"):
        await store.create(make_chat(name))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("""UPDATE chats SET body = '{"customer": "Ada"}' WHERE chat_id = 'broken'""")
    assert [chat.record.chat_id for chat in await store.unfinished()] == ["whole"]
    assert f"chat {uid_of('broken')} cannot go on: stored record not valid" in caplog.text
    assert "Ada" not in caplog.text
    with pytest.raises(StoreError, match="record not valid"):
        await store.read(uid_of("broken"))


# ------------------------------------------------------------ the webhook


async def test_chats_are_undelivered_until_the_webhook_has_their_events(store: ChatStore) -> None:
    for name in ("chat-1", "chat-2", "silent"):
        await store.create(make_chat(name))
    await store.write(change(make_event(1), make_event(2), record=ended()))
    await store.write(change(make_event(1, "chat-2"), of="chat-2"))
    store.mark_delivered(uid_of("chat-1"), 1)
    store.mark_delivered(uid_of("chat-2"), 1)
    store.mark_delivered(uid_of("unknown"), 1)
    await until_undelivered(store, {"chat-1": 1})
    store.mark_delivered(uid_of("chat-1"), 2)
    await until_undelivered(store, {})


async def test_the_position_of_a_webhook_never_goes_back(reopen: OpenChats) -> None:
    store = reopen()
    await store.create(make_chat())
    await store.write(change(*(make_event(n) for n in range(1, 6))))
    for sequence in (3, 4, 2):
        store.mark_delivered(uid_of("chat-1"), sequence)
    await store.close()
    store.mark_delivered(uid_of("chat-1"), 5)
    again = reopen()
    await until_undelivered(again, {"chat-1": 4})
    again.mark_delivered(uid_of("chat-1"), 1)
    await again.close()
    await until_undelivered(reopen(), {"chat-1": 4})


async def until_undelivered(store: ChatStore, expected: dict[str, int]) -> None:
    async with asyncio.timeout(2):
        while {record.chat_id: last for record, last in await store.undelivered()} != expected:  # noqa: ASYNC110 (there is no notification)
            await asyncio.sleep(0.01)


# ------------------------------------------------------------ the process and the disk


async def test_closing_writes_what_is_queued(reopen: OpenChats) -> None:
    store = reopen()
    await store.create(make_chat())
    writes = [asyncio.create_task(store.write(change(make_event(n)))) for n in range(1, 1201)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writes)
    assert len((await read(reopen())).events) == 1200


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
    stored = {chat.record.chat_id: chat.messages for chat in await reopen().unfinished()}
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
    store = reopen()
    await store.create(make_chat())
    written = 0
    for number in range(1, 501):
        message = make_message(number, text="x" * 3000)
        await store.write(change(make_event(number), message))
        written += len(message.text)
    assert path.with_name(f"{path.name}-wal").stat().st_size < 3 * written, "pages have six times the text"
    assert len((await read(store)).events) == 500


# ------------------------------------------------------------ retention


async def test_only_chats_that_have_been_over_for_long_are_erased(
    path: Path, reopen: OpenChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PURGE_CHATS", 2)
    first = reopen()
    for name in ("a", "b", "c", "in progress", "fresh"):
        await first.create(make_chat(name))
        record = None if name == "in progress" else ended(name)
        await first.write(change(make_message(1), make_event(1, name), of=name, record=record))
    await first.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE chats SET updated_at = updated_at - 25 * 3600e6 WHERE chat_id <> 'fresh'")
    second = reopen()
    async with asyncio.timeout(10):
        while len(await second.list_chats("acme", "support", limit=10)) > 2:  # noqa: ASYNC110 (a purge sends no notification)
            await asyncio.sleep(0.01)
    left = {record.chat_id for record in await second.list_chats("acme", "support", limit=10)}
    assert left == {"fresh", "in progress"}
    await second.close()
    with closing(sqlite3.connect(path)) as connection:
        for table in ("chat_entries", "chat_webhooks"):
            found = connection.execute(f"SELECT DISTINCT uid FROM {table} LEFT JOIN chats ON id = chat")  # noqa: S608 (fixed text only)
            assert {uid for (uid,) in found} == {uid_of(name) for name in left}
