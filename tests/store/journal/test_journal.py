from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipbridge.calls.model import CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.errors import StartupError
from sipbridge.handoffs.record import Turn
from sipbridge.store.journal import file as file_module
from sipbridge.store.journal import journal as journal_module
from sipbridge.store.journal.journal import FileJournal
from tests.store.records import make_handoff, make_record

HEADERS = {"X-Line": "gold"}
TURNS = (Turn(role="agent", text="Hello"), Turn(role="caller", text="Grüezi"), Turn(role="agent", text="Yes?"))
Open = Callable[[], FileJournal]


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


_COPIES = itertools.count(1)


def open_calls_in(path: Path) -> list[Unfinished]:
    """Return the calls that a start would find now if the writing process crashed."""
    copy = path.with_name(f"copy-{next(_COPIES)}")  # the last one may still be open
    copy.write_bytes(path.read_bytes())
    journal = FileJournal(copy)
    found = journal.unfinished()
    asyncio.get_running_loop().create_task(journal.close())
    return found


async def test_a_new_journal_has_no_open_calls(reopen: Open, path: Path) -> None:
    assert reopen().unfinished() == []
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_begun_call_is_written_when_begin_returns(reopen: Open, path: Path) -> None:
    record = make_record()
    assert await reopen().begin(record, HEADERS)
    assert open_calls_in(path) == [Unfinished(record, HEADERS, None)]


async def test_the_answer_and_the_turns_of_a_call_are_written_within_a_moment(reopen: Open, path: Path) -> None:
    journal, at = reopen(), datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    await journal.begin(make_record(state=CallState.RINGING), HEADERS)
    journal.answered("call-1", at)
    journal.add_turns("call-1", TURNS[:2])
    journal.add_turns("call-1", TURNS[2:])
    async with asyncio.timeout(10):
        while path.read_bytes().count(b'"turns"') < 4:  # noqa: ASYNC110 (a file sends no notification)
            await asyncio.sleep(0.01)
    assert open_calls_in(path) == [Unfinished(make_record(answered_at=at, transcript=TURNS), HEADERS)]


async def test_turns_that_came_after_a_record_was_made_are_kept(reopen: Open) -> None:
    journal = reopen()
    handed = make_record(handoff=make_handoff(), transcript=TURNS[:1])
    await journal.begin(make_record(), HEADERS)
    journal.add_turns("call-1", TURNS[:1])
    journal.handing_off(handed)
    journal.add_turns("call-1", TURNS[1:2])
    await journal.signalling(handed)
    journal.add_turns("call-1", TURNS[2:])
    await journal.close()
    assert [call.record for call in reopen().unfinished()] == [handed.changed(transcript=TURNS)]


async def test_a_begun_signal_is_written_when_signalling_returns(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    assert await journal.signalling(make_record())
    assert [call.signal for call in open_calls_in(path)] == [SignalResult.UNKNOWN]


async def test_the_record_of_a_handoff_is_written_before_its_signal(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LAZY_SECONDS", 60.0)
    journal, record = reopen(), make_record(handoff=make_handoff())
    await journal.begin(make_record(), HEADERS)
    journal.handing_off(record)
    async with asyncio.timeout(10):
        while b"handing_off" not in path.read_bytes():  # noqa: ASYNC110 (a file sends no notification)
            await asyncio.sleep(0)
    assert open_calls_in(path) == [Unfinished(record, HEADERS, None)]


async def test_a_signal_soon_after_its_handoff_leaves_the_next_entry_for_later(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LAZY_SECONDS", 60.0)
    monkeypatch.setattr(journal_module, "SIGNAL_SECONDS", 0.2)
    monkeypatch.setattr(file_module.JournalFile, "sync", lambda _: True)  # a busy disk may take longer than that
    journal, record = reopen(), make_record(handoff=make_handoff())
    await journal.begin(make_record(), HEADERS)
    journal.handing_off(record)
    assert await journal.signalling(record)
    journal.signalled(record.call_id, SignalResult.ACCEPTED)
    # The timer of the handoff would have the journal written.
    await asyncio.sleep(2 * journal_module.SIGNAL_SECONDS)
    assert b"signalled" not in path.read_bytes()


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (SignalResult.ACCEPTED, SignalResult.ACCEPTED),
        (SignalResult.REFUSED, SignalResult.REFUSED),
        (SignalResult.UNDELIVERED, None),
    ],
)
async def test_the_result_of_a_signal_is_kept(reopen: Open, result: SignalResult, found: SignalResult | None) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    await journal.signalling(make_record())
    journal.signalled("call-1", result)
    await journal.close()
    assert [call.signal for call in reopen().unfinished()] == [found]


async def test_a_stored_call_is_removed_from_the_file(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    journal.stored("call-1")
    await journal.close()
    assert path.read_bytes() == b""


async def test_a_record_that_was_not_stored_is_kept_completely(reopen: Open) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    ended = make_record(state=CallState.ENDED, handoff=make_handoff(data={"a": ["ü", None]}))
    journal.unstored(ended)
    await journal.close()
    assert [call.record for call in reopen().unfinished()] == [ended]


async def test_an_incomplete_or_corrupt_line_affects_no_other_call(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record("call-1"), HEADERS)
    await journal.begin(make_record("call-2"), HEADERS)
    await journal.close()
    first, second = path.read_bytes().splitlines(keepends=True)
    wrong = b'{"what":"began","call":"call-3","record":{"call_id":7}}\n'
    path.write_bytes(first + b"\xff\x00 no JSON\n[1]\n{}\n" + wrong + second + second[:40])
    assert [call.record.call_id for call in reopen().unfinished()] == ["call-1", "call-2"]


@pytest.mark.parametrize(
    "end", [b'{"what":"stored","ca', b"\0" * 512, b"no JSON", b'{"what":"stored","call":"call-1"}', b"[1]\n"]
)
async def test_entries_after_an_incomplete_line_are_readable(reopen: Open, path: Path, end: bytes) -> None:
    path.write_bytes(end)
    journal = reopen()
    assert await journal.begin(make_record("call-2"), HEADERS)
    assert await journal.signalling(make_record("call-2"))
    assert [(call.record.call_id, call.signal) for call in open_calls_in(path)] == [("call-2", SignalResult.UNKNOWN)]


async def test_the_file_stays_small_and_keeps_open_calls(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "TIDY_SECONDS", 0.01)
    journal = reopen()
    await journal.begin(make_record("stays"), HEADERS)
    alone = path.stat().st_size
    for number in range(200):
        await journal.begin(make_record(f"call-{number}"), HEADERS)
        journal.stored(f"call-{number}")
    async with asyncio.timeout(10):
        while path.stat().st_size > alone:  # noqa: ASYNC110 (a file sends no notification)
            await asyncio.sleep(0.01)
    assert [call.record.call_id for call in open_calls_in(path)] == ["stays"]


async def test_a_deleted_file_is_rewritten_with_all_open_calls(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record("call-1"), HEADERS)
    path.unlink()
    assert await journal.begin(make_record("call-2"), HEADERS)
    assert [call.record.call_id for call in open_calls_in(path)] == ["call-1", "call-2"]


async def test_a_full_disk_is_logged_and_entries_are_written_later(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record("call-1"), HEADERS)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        assert not await journal.begin(make_record("call-2"), HEADERS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await journal.begin(make_record("call-3"), HEADERS)
    assert [call.record.call_id for call in open_calls_in(path)] == ["call-1", "call-2", "call-3"]


async def test_entries_that_a_full_disk_rejected_are_written_without_another_call(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "TIDY_SECONDS", 0.01)
    journal = reopen()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        assert not await journal.begin(make_record("call-1"), HEADERS)
        assert [each.name for each in path.parent.iterdir()] == [path.name], "no second file uses disk space"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    async with asyncio.timeout(10):
        while not open_calls_in(path):  # noqa: ASYNC110 (a file sends no notification)
            await asyncio.sleep(0.02)


def test_a_path_that_is_not_a_regular_file_is_refused_and_not_replaced() -> None:
    with pytest.raises(StartupError, match="is not a regular file"):
        FileJournal(Path("/dev/null"))


async def test_a_journal_is_locked_by_one_bridge(reopen: Open) -> None:
    reopen()
    with pytest.raises(StartupError, match="in use by another sipbridge"):
        reopen()


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"store.journal: .* cannot be written"):
        FileJournal(tmp_path / "nowhere" / "calls.journal")


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


async def test_entries_of_all_threads_keep_their_order(reopen: Open, path: Path) -> None:
    journal = reopen()
    at = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    await journal.begin(make_record(), HEADERS)
    signalling = asyncio.create_task(journal.signalling(make_record()))
    await asyncio.sleep(0)
    await asyncio.to_thread(journal.hung_up, "call-1", "caller", at)
    assert await signalling
    journal.signalled("call-1", SignalResult.ACCEPTED)
    journal.stored("call-1")
    await journal.begin(make_record("call-2"), HEADERS)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["what"] for line in lines] == ["began", "signalling", "hung_up", "signalled", "stored", "began"]


async def test_the_end_of_a_signalled_callers_leg_is_written_within_a_moment(reopen: Open, path: Path) -> None:
    journal = reopen()
    at = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    await journal.begin(make_record(), HEADERS)
    await journal.signalling(make_record())
    journal.hung_up("call-1", "caller", at, urgent=False)
    async with asyncio.timeout(10):
        while b'"hung_up"' not in path.read_bytes():  # noqa: ASYNC110 (a file sends no notification)
            await asyncio.sleep(0.01)
    assert [call.record.ended_at for call in open_calls_in(path)] == [at]


async def test_the_end_of_the_callers_leg_is_written_before_the_callback(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    at = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    written = threading.Event()
    # Not on the loop's thread.
    await asyncio.to_thread(journal.hung_up, "call-1", "caller", at, written.set)
    assert await asyncio.to_thread(written.wait, 10)
    (call,) = open_calls_in(path)
    assert (call.record.ended_at, call.record.ended_by, call.signal) == (at, "caller", None)


async def test_a_bye_of_ours_is_unknown_until_the_end_of_the_leg_follows(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    at = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    for entry, bye_unknown in ((journal.hanging_up, True), (journal.hung_up, False)):
        written = threading.Event()
        entry("call-1", "agent", at, written.set)
        assert await asyncio.to_thread(written.wait, 10)
        (call,) = open_calls_in(path)
        assert (call.record.ended_at, call.record.ended_by, call.signal) == (at, "agent", None)
        assert call.bye_unknown is bye_unknown


async def test_a_bye_of_ours_that_crosses_the_callers_changes_nothing(reopen: Open, path: Path) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    at = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    written = threading.Event()
    journal.hung_up("call-1", "caller", at)
    journal.hanging_up("call-1", "agent", at, written.set)
    assert await asyncio.to_thread(written.wait, 10)
    (call,) = open_calls_in(path)
    assert (call.record.ended_by, call.bye_unknown) == ("caller", False)


async def test_the_callback_runs_even_if_the_end_cannot_be_written(
    reopen: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    monkeypatch.setattr(file_module, "_write_whole", _fails)
    written, closed = threading.Event(), threading.Event()
    journal.hung_up("call-1", "caller", datetime.now(UTC), written.set)
    assert await asyncio.to_thread(written.wait, 10)
    await journal.close()
    journal.hung_up("call-1", "caller", datetime.now(UTC), closed.set)
    assert closed.is_set()


def _fails(_file: int, _data: bytes) -> None:
    raise OSError(errno.ENOSPC, "no space")


async def test_an_undelivered_signal_is_written_at_once(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LAZY_SECONDS", 60.0)
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    await journal.signalling(make_record())
    journal.signalled("call-1", SignalResult.UNDELIVERED)
    async with asyncio.timeout(10):
        while b"undelivered" not in path.read_bytes():  # noqa: ASYNC110 (a file sends no notification)
            await asyncio.sleep(0)
    assert [call.signal for call in open_calls_in(path)] == [None]


async def test_the_parameters_of_a_begun_signal_are_kept(reopen: Open) -> None:
    journal = reopen()
    await journal.begin(make_record(), HEADERS)
    signalled = make_record(handoff=make_handoff(parameters={"p1": "care"}))
    await journal.signalling(signalled)
    await journal.close()
    assert [call.record for call in reopen().unfinished()] == [signalled]


async def test_a_journal_of_release_0_1_0_is_read(reopen: Open, path: Path) -> None:
    """Release 0.1.0 wrote no record with `signalling`, and no `hung_up`."""
    record = make_record().model_dump_json()
    lines = [
        f'{{"what":"began","call":"call-1","record":{record},"headers":{{"X-Line":"gold"}}}}',
        '{"what":"signalling","call":"call-1"}',
        f'{{"what":"began","call":"call-2","record":{make_record("call-2").model_dump_json()},"headers":{{}}}}',
        '{"what":"of a later release","call":"call-2"}',
    ]
    path.write_text("\n".join([*lines, ""]))
    assert reopen().unfinished() == [
        Unfinished(make_record(), HEADERS, SignalResult.UNKNOWN),
        Unfinished(make_record("call-2"), {}),
    ]
