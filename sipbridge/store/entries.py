"""The entries of the journal of calls, each a line of JSON; and the calls that they leave open."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports import Headers, SignalResult, Unfinished

logger = logging.getLogger(__name__)


def began(record: CallRecord, headers: Headers) -> bytes:
    """The caller is about to be answered."""
    return _line("began", record.call_id, record=record.model_dump(mode="json"), headers=dict(headers))


def signalling(record: CallRecord) -> bytes:
    """The first byte of a Signal is about to go out; its parameters are in the record."""
    return _line("signalling", record.call_id, record=record.model_dump(mode="json"))


def signalled(call_id: str, result: SignalResult) -> bytes:
    """What is known of the Signal."""
    return _line("signalled", call_id, result=result.value)


def ended(record: CallRecord) -> bytes:
    """The call is over; its record is not in the store."""
    return _line("ended", record.call_id, record=record.model_dump(mode="json"))


def stored(call_id: str) -> bytes:
    """The call is over, and its record is in the store."""
    return _line("stored", call_id)


def _line(what: str, call_id: str, **more: object) -> bytes:
    return orjson.dumps({"what": what, "call": call_id, **more}) + b"\n"


class OpenCalls:
    """What a journal says, entry by entry: the calls that are not over."""

    def __init__(self) -> None:
        self._lines: dict[str, list[bytes]] = {}
        self.size = 0

    def take(self, line: bytes) -> bool:
        """Take in an entry, with or without its line end; one that was cut short or mangled is left out: false."""
        line = line.rstrip(b"\n")
        entry = _read(line)
        if entry is None:
            return False
        what, call_id = entry["what"], entry["call"]
        if what in ("stored", "ended"):
            self.size -= sum(map(len, self._lines.pop(call_id, ())))
        if what in ("began", "ended") or (what != "stored" and call_id in self._lines):
            self._lines.setdefault(call_id, []).append(line + b"\n")
            self.size += len(line) + 1
        return True

    def lines(self) -> bytes:
        """The entries of the calls that are open."""
        return b"".join(line for lines in self._lines.values() for line in lines)

    def unfinished(self) -> list[Unfinished]:
        """The calls that are open."""
        found = (_unfinished(lines) for lines in self._lines.values())
        return [each for each in found if each is not None]


def _read(line: bytes) -> Mapping[str, Any] | None:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    is_entry = isinstance(entry, dict) and isinstance(entry.get("what"), str) and isinstance(entry.get("call"), str)
    return entry if is_entry else None


def _unfinished(lines: list[bytes]) -> Unfinished | None:
    try:
        first, *rest = map(orjson.loads, lines)
        call = Unfinished(CallRecord.model_validate(first["record"]), first.get("headers", {}))
        for entry in rest:
            if entry["what"] == "signalling":
                # Release 0.1.0 wrote no record here.
                record = CallRecord.model_validate(entry["record"]) if "record" in entry else call.record
                call = replace(call, record=record, signal=SignalResult.UNKNOWN)
            elif entry["what"] == "signalled":
                result = SignalResult(entry["result"])
                # One that certainly did not arrive leaves the contact as it was.
                call = replace(call, signal=None if result is SignalResult.UNDELIVERED else result)
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
        extra = {"event": "journal_failed"}
        # No traceback: it would quote the entry.
        logger.error("an entry of the journal cannot be read; its call is left out", extra=extra)  # noqa: TRY400
        return None
    return call
