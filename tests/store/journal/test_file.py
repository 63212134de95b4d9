"""The file of the journal: what is left in it, who may use it, and a disk that is full."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.errors import StartupError
from sipbridge.store.journal import journal as journal_module
from sipbridge.store.journal.journal import FileJournal
from tests.store.records import make_record

from .journals import HEADERS, Open, open_calls_in


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
