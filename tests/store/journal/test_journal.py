"""The entries of the journal, and the calls that they leave open."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipbridge.calls.model import CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import Unfinished
from sipbridge.handoffs.record import Turn
from sipbridge.store.journal import file as file_module
from sipbridge.store.journal import journal as journal_module
from tests.store.records import make_handoff, make_record

from .journals import HEADERS, Open, open_calls_in

TURNS = (Turn(role="agent", text="Hello"), Turn(role="caller", text="Grüezi"), Turn(role="agent", text="Yes?"))


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


async def test_a_signal_withholds_those_of_other_calls_from_its_first_byte_on(
    reopen: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LAZY_SECONDS", 60.0)
    journal = reopen()
    for call_id in ("call-1", "call-2", "call-3"):
        await journal.begin(make_record(call_id), HEADERS)
    assert await journal.signalling(make_record("call-1"), ["call-2", "call-3"])
    assert await journal.begin(make_record("call-4"), HEADERS, withheld=True)
    assert [call.signal for call in open_calls_in(path)] == [SignalResult.UNKNOWN, *[SignalResult.DUPLICATE] * 3]


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


async def test_a_signal_that_is_tried_again_does_not_forget_the_end_of_the_leg(reopen: Open, path: Path) -> None:
    journal = reopen()
    at = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    await journal.begin(make_record(), HEADERS)
    assert await journal.signalling(make_record())
    journal.hung_up("call-1", "caller", at)
    journal.signalled("call-1", SignalResult.UNDELIVERED)
    assert await journal.signalling(make_record(handoff=make_handoff()))
    journal.signalled("call-1", SignalResult.UNDELIVERED)
    await journal.close()
    (call,) = open_calls_in(path)
    assert (call.record.ended_at, call.record.ended_by, call.record.handoff) == (at, "caller", make_handoff())
    assert not call.needs_signal


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
