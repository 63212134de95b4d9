"""The formats of log lines: JSON for programs, text for a terminal."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from pythonjsonlogger.orjson import OrjsonFormatter

from sipbridge.terminal import Style

LogFormat = Literal["json", "text"]

# The attributes of every record; all others are extras.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_NEEDS_QUOTES = re.compile(r"[^!#-\[\]-~]")


def formatter_of(log_format: LogFormat, stream: TextIO) -> logging.Formatter:
    """Return the formatter of a log format, for a stream."""
    return JsonLine() if log_format == "json" else TextLine(Style.of_output(stream))


class TextLine(logging.Formatter):
    """`11:52:07.123 INFO    call ended  event=call_ended result=success`: local time, level, message, extras.

    A value with blanks, quotes or control characters is quoted as JSON, so that an entry stays one line. A traceback
    follows on its own lines.
    """

    def __init__(self, style: Style) -> None:
        super().__init__()
        self._sequences = style
        self._colours = {logging.WARNING: style.yellow, logging.ERROR: style.red, logging.CRITICAL: style.red}

    def format(self, record: logging.LogRecord) -> str:
        """Format one line."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        message = "".join(char if char.isprintable() else repr(char)[1:-1] for char in record.getMessage())
        extras = [f"{name}={_text_of(value)}" for name, value in vars(record).items() if name not in _STANDARD]
        plain, colour = self._sequences.plain, self._colours.get(record.levelno, "")
        level = f"{colour}{record.levelname:7}{plain}" if colour else f"{record.levelname:7}"
        line = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} {level} {message}"
        if extras:
            line += f"  {self._sequences.dim}{' '.join(extras)}{plain}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line.encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be written


def _text_of(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    return json.dumps(text) if not text or _NEEDS_QUOTES.search(text) else text


class JsonLine(OrjsonFormatter):
    """A JSON object: `time` (RFC 3339, UTC), `level`, `logger`, `message`, then the extras."""

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 (the library's name and signature)
        """Format the time as RFC 3339 in UTC."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Format a line even if orjson rejects it, as it does lone surrogates and large numbers."""
        try:
            return super().jsonify_log_record(log_data)
        except TypeError:
            return json.dumps(log_data, default=repr)
