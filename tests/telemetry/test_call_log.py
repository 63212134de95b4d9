from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sipbridge.calls.events import (
    AgentFault,
    CallEnded,
    CallEvent,
    ContactShared,
    DrainChanged,
    InviteAnswered,
    SignalWithheld,
    StoreFailed,
    TokenRequested,
)
from sipbridge.calls.model import CallRecord
from sipbridge.handoffs.outcome import Result
from sipbridge.telemetry import CallLog, call_logs, log_event

from .events import ENDED, OK, SECRETS, whole_call


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return record.__dict__


class Lines(logging.Handler):
    """A handler that keeps log records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.arrived = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.arrived.set()

    async def until(self, event: str) -> None:
        """Wait until the last line is of that event."""
        while not self.records or fields(self.records[-1])["event"] != event:
            self.arrived.clear()
            await self.arrived.wait()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    caplog.set_level(logging.INFO, "sipbridge.call")
    kept = Lines()
    logger = logging.getLogger("sipbridge.call")
    logger.addHandler(kept)
    yield kept
    logger.removeHandler(kept)


@pytest.fixture
def infos(lines: Lines) -> list[logging.LogRecord]:
    return lines.records


async def test_a_call_is_one_line_with_its_outcome(infos: list[logging.LogRecord]) -> None:
    log = CallLog()
    for event in whole_call():
        log(event)
    [line] = [line for line in infos if line.levelno == logging.INFO]
    expected = {
        "event": "call_ended",
        "call_id": "call-1",
        "sip_call_id": "call-1@trunk",
        "client": "acme",
        "project": "billing",
        "contact_id": "contact-1",
        "result": "success",
        "reason": "handed_off",
        "ended_by": "caller",
        "duration_ms": 42_000,
        "setup_ms": 250,
        "turns": 2,
        "handoff_state": "handoff_completed",
        "handoff_destination": "care",
        "handoff_method": "release",
        "handoff_by": "api",
        "handoff_ms": 1500,
        "signal": "accepted",
        "transfer": "released",
        "confirmed": True,
    }
    assert expected.items() <= fields(line).items()


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_no_number_text_or_data_of_a_call_is_logged(caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level, "sipbridge.call")
    for log in call_logs():
        for event in [*whole_call(), StoreFailed(ENDED, "database is locked")]:
            log(event)
    everything = repr([fields(record) for record in caplog.records])
    assert not [secret for secret in SECRETS if secret in everything]


async def test_every_event_is_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sipbridge.call")
    for log in call_logs():
        for event in whole_call():
            log(event)
    debug = [fields(record) for record in caplog.records if record.levelno == logging.DEBUG]
    assert [record["event"] for record in debug] == [type(event).__name__ for event in whole_call()]
    assert {record["stage"] for record in debug if "stage" in record} == {
        "play_out",
        "utterance",
        "store",
        "signal",
        "transfer",
    }


async def test_a_call_without_a_handoff_has_no_handoff_fields(infos: list[logging.LogRecord]) -> None:
    CallLog()(CallEnded(ENDED.model_copy(update={"handoff": None}), OK, 1.0))
    assert not [name for name in fields(infos[0]) if name.startswith("handoff")]


async def test_a_rejected_invite_is_a_line_with_reason_and_code(infos: list[logging.LogRecord]) -> None:
    CallLog()(InviteAnswered(404, "unknown_number", "x" * 5000, "127.0.0.9"))
    [line] = infos
    assert {"reason": "unknown_number", "code": 404, "source": "127.0.0.9"}.items() <= fields(line).items()
    assert len(fields(line)["sip_call_id"]) == 128, "a stranger's text does not fill the disk"


async def test_an_admitted_invite_is_not_logged(infos: list[logging.LogRecord]) -> None:
    CallLog()(InviteAnswered(200, "answered", "x", "127.0.0.1", "call-1"))
    assert infos == []


async def test_a_flood_is_limited_and_counted_per_reason(lines: Lines) -> None:
    log = CallLog(lines=3, window_seconds=0.02)
    for _ in range(100):
        log(InviteAnswered(403, "untrusted_source", "x", "127.0.0.1"))
    log(InviteAnswered(404, "unknown_number", "x", "127.0.0.1"))
    await lines.until("lines_suppressed")
    *written, count = lines.records
    assert [fields(record)["reason"] for record in written] == ["untrusted_source"] * 3 + ["unknown_number"]
    assert count.getMessage() == "more lines like these: invite refused: untrusted_source"
    assert fields(count)["suppressed"] == 97


def _of_client(client: str) -> CallRecord:
    return ENDED.model_copy(update={"client": client})


@pytest.mark.parametrize(
    "make",
    [
        lambda client: AgentFault(_of_client(client), "websocket", "bad_json", "x"),
        lambda client: InviteAnswered(403, "token_refused", "x", "127.0.0.1", client=client),
        lambda client: ContactShared(_of_client(client)),
        lambda client: SignalWithheld(_of_client(client), "handoff"),
        lambda client: StoreFailed(_of_client(client), "disk full"),
        lambda client: TokenRequested(client, Result.UPSTREAM_ERROR, 0.1),
    ],
)
async def test_a_flood_of_one_client_hides_no_line_of_another(lines: Lines, make: Callable[[str], CallEvent]) -> None:
    log = CallLog(lines=3, window_seconds=0.02)
    for _ in range(10):
        log(make("acme"))
    log(make("other"))
    await lines.until("lines_suppressed")
    *written, summary = lines.records
    assert [fields(record)["client"] for record in written] == ["acme"] * 3 + ["other"]
    assert (fields(summary)["client"], fields(summary)["suppressed"]) == ("acme", 7)


async def test_lines_are_written_again_after_the_window(lines: Lines) -> None:
    log = CallLog(lines=1, window_seconds=0.01)
    refused = InviteAnswered(403, "untrusted_source", "x", "127.0.0.1")
    log(refused)
    log(refused)
    await lines.until("lines_suppressed")
    log(refused)
    assert fields(lines.records[-1])["event"] == "invite_refused"


QUOTING = AgentFault(ENDED, "websocket", "bad_audio", "no base64: full of eels" + "x" * 5000)


async def test_an_agents_fault_warns_with_the_call_and_without_what_it_sent(infos: list[logging.LogRecord]) -> None:
    CallLog()(QUOTING)
    [line] = infos
    expected = {"levelname": "WARNING", "call_id": "call-1", "agent_type": "websocket", "fault": "bad_audio"}
    assert expected.items() <= fields(line).items()
    assert "eels" not in repr(fields(line))


async def test_an_agents_fault_has_its_detail_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sipbridge.call")
    log_event(QUOTING)
    [detail] = [fields(record) for record in caplog.records if record.levelno == logging.DEBUG]
    assert detail["fault"] == "bad_audio"
    assert detail["detail"].startswith("no base64: full of eels")
    assert len(detail["detail"]) == 128


async def test_a_repeated_fault_does_not_hide_another_fault(lines: Lines) -> None:
    log = CallLog(lines=2, window_seconds=0.02)
    for _ in range(50):
        log(QUOTING)
    log(AgentFault(ENDED, "sip", "refer_refused", "x"))
    await lines.until("lines_suppressed")
    *written, count = lines.records
    assert [fields(record)["fault"] for record in written] == ["bad_audio", "bad_audio", "refer_refused"]
    assert count.getMessage() == "more lines like these: agent fault: bad_audio"


async def test_a_failing_store_warns_but_not_per_call(infos: list[logging.LogRecord]) -> None:
    log = CallLog(lines=2)
    for _ in range(10):
        log(StoreFailed(ENDED, "the store could not be written: database is locked"))
    assert [record.levelname for record in infos] == ["WARNING"] * 2
    assert fields(infos[0])["detail"] == "the store could not be written: database is locked"


async def test_each_result_of_a_token_request_is_logged(infos: list[logging.LogRecord]) -> None:
    log = CallLog()
    log(TokenRequested("acme", Result.SUCCESS, 0.1))
    log(TokenRequested("acme", Result.CLIENT_ERROR, 0.1))
    given, refused = infos
    assert {"levelname": "INFO", "msg": "access token from CXone", "client": "acme"}.items() <= fields(given).items()
    assert {"levelname": "WARNING", "client": "acme", "result": "client_error"}.items() <= fields(refused).items()


async def test_a_drain_logs_the_calls_in_progress_and_the_time_limit(infos: list[logging.LogRecord]) -> None:
    CallLog()(DrainChanged(draining=True, calls=3, wait_seconds=30))
    CallLog()(DrainChanged(draining=True))
    some, none = (line.getMessage() for line in infos)
    assert "3 in progress, handed off after 30 s; a second SIGINT (Ctrl-C)" in some
    assert none == "draining: no new calls, and none in progress"
    assert {"calls": 3, "wait_seconds": 30}.items() <= fields(infos[0]).items()
