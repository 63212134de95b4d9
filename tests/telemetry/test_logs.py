from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sipbridge.errors import StartupError
from sipbridge.telemetry import configure_logging, level_from, logs

logger = logging.getLogger("sipbridge.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    with io.StringIO() as text:
        yield text


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_logger_message_and_extras(stream: io.StringIO) -> None:
    with configure_logging("INFO", stream):
        logger.info("heard %d times", 3, extra={"call_id": "c1"})
    [line] = lines(stream)
    assert list(line) == ["time", "level", "logger", "message", "call_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "INFO", "logger": "sipbridge.test", "message": "heard 3 times", "call_id": "c1"}


def test_a_line_is_made_without_the_fields_that_no_format_shows(caplog: pytest.LogCaptureFixture) -> None:
    with configure_logging("INFO", io.StringIO()):
        logger.info("heard")
    [record] = caplog.records
    assert (record.lineno, record.threadName, record.processName, record.process) == (0, None, None, None)


def test_a_text_with_line_breaks_is_still_one_line(stream: io.StringIO) -> None:
    with configure_logging("INFO", stream):
        logger.info("one\ntwo", extra={"sip_call_id": 'x\r\n{"level":"CRITICAL"}'})
    assert stream.getvalue().count("\n") == 1
    assert lines(stream)[0]["message"] == "one\ntwo"


@pytest.mark.parametrize("odd", ["\ud800", 2**200, {1, 2}])
def test_values_that_json_cannot_express_are_logged(stream: io.StringIO, odd: object) -> None:
    with configure_logging("INFO", stream):
        logger.info("odd", extra={"odd": odd})
    assert lines(stream)[0]["message"] == "odd"


def test_a_traceback_is_part_of_the_line(stream: io.StringIO) -> None:
    with configure_logging("INFO", stream):
        try:
            int("boom")
        except ValueError:
            logger.exception("failed")
    [line] = lines(stream)
    assert "ValueError: invalid literal" in line["exc_info"]


def test_the_level_applies_until_close(stream: io.StringIO) -> None:
    before = logging.getLogger().level
    with configure_logging("warning", stream):
        logger.info("quiet")
        logger.warning("loud")
    assert [line["message"] for line in lines(stream)] == ["loud"]
    assert logging.getLogger().level == before


def test_an_invalid_level_is_refused() -> None:
    with pytest.raises(ValueError, match="'LOUD' is not a valid log level"):
        configure_logging("LOUD")


def test_the_environment_sets_the_level() -> None:
    assert level_from({}) == "INFO"
    assert level_from({"SIPBRIDGE_LOG_LEVEL": ""}) == "INFO"
    assert level_from({"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) == "DEBUG"
    with pytest.raises(StartupError, match="SIPBRIDGE_LOG_LEVEL: is not a valid log level; write DEBUG, "):
        level_from({"SIPBRIDGE_LOG_LEVEL": "verbose"})


class StuckStream(io.StringIO):
    """A terminal that was stopped with Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.stuck.set()
        self.go_on.wait()
        return super().write(text)


def test_a_stuck_stream_delays_no_thread_and_dropped_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "QUEUED_LINES", 10)
    stream = StuckStream()
    with configure_logging("INFO", stream):
        logger.info("the first")
        stream.stuck.wait()
        for n in range(25):  # ten are queued, fifteen are dropped
            logger.info("line %d", n)
        stream.go_on.set()
    written = lines(stream)
    assert [line["message"] for line in written[:2]] == ["the first", "log lines were dropped"]
    assert written[1]["dropped"] == 15
    assert len(written) == 12


def test_closing_does_not_wait_for_a_stuck_stream_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "STOP_SECONDS", 0.02)
    monkeypatch.setattr(logs, "QUEUED_LINES", 1)
    stream = StuckStream()
    with configure_logging("INFO", stream):
        logger.info("the first")
        stream.stuck.wait()
        logger.info("the queue is full")
    stream.go_on.set()
