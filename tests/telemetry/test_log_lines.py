from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest

from sipbridge.telemetry import configure_logging
from sipbridge.telemetry.log_lines import TextLine
from sipbridge.terminal import Style

logger = logging.getLogger("sipbridge.test")


@pytest.fixture
def stream() -> Iterator[io.TextIOWrapper]:
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as text:
        yield text


def written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def test_a_line_for_a_terminal_has_time_level_message_and_extras(stream: io.TextIOWrapper) -> None:
    with configure_logging("INFO", stream, "text"):
        logger.info("call ended", extra={"client": "acme", "turns": 3, "reason": "hung up", "signal": None, "note": ""})
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} INFO    call ended  client=acme turns=3 reason=\"hung up\" signal=null note=\"\"\n",
        written(stream),
    )


@pytest.mark.parametrize("odd", ["two\nlines", "\x1b[31mred", "\ud800", "\u2028", {"a": {1}}], ids=repr)
def test_hostile_values_stay_on_their_line_and_control_no_terminal(odd: object) -> None:
    # Not through logging: pytest would put the text into its report, which cannot contain a lone surrogate.
    record = logging.makeLogRecord({"levelname": "INFO", "msg": "sent %s", "args": (odd,), "odd": odd})
    line = TextLine(Style()).format(record)
    assert line.isprintable()
    line.encode()


@pytest.mark.parametrize(("level", "colour"), [("WARNING", "\033[33m"), ("ERROR", "\033[31m")])
def test_a_terminal_gets_the_level_in_colour(level: str, colour: str) -> None:
    style = Style(red="\033[31m", yellow="\033[33m", dim="\033[2m", plain="\033[0m")
    number = logging.getLevelNamesMapping()[level]
    record = logging.makeLogRecord({"levelname": level, "levelno": number, "msg": "call lost", "client": "acme"})
    line = TextLine(style).format(record)
    assert line[12:] == f" {colour}{level:7}\033[0m call lost  \033[2mclient=acme\033[0m"


def test_a_traceback_follows_its_line(stream: io.TextIOWrapper) -> None:
    with configure_logging("INFO", stream, "text"):
        try:
            int("boom")
        except ValueError:
            logger.exception("failed")
    assert "ERROR   failed\nTraceback" in written(stream)
