"""The entries of the journal, each a line of JSON, and the calls that they leave open.

| `what` | with | meaning |
|---|---|---|
| `began` | `record`, `headers` | the caller is about to be answered |
| `answered` | `at`; since the release after 0.2.0 | the caller was answered |
| `turns` | `turns`; since the release after 0.2.0 | the transcript has grown |
| `handing_off` | `record`; since release 0.2.0 | a handoff begins, and the store will have its record later |
| `signalling` | `record`; not before release 0.2.0 | the first byte of a Signal is about to go out |
| `signalled` | `result` | the result of the Signal; `undelivered` revokes `signalling` |
| `hanging_up` | `by`, `at`; since release 0.2.0 | our BYE is about to be sent |
| `hung_up` | `by`, `at`; since release 0.2.0 | the caller's leg has ended |
| `ended` | `record` | the call is over, and the store does not have its record |
| `stored` | | the call is over, and the store has its record |

Unknown entries, written by a later release, are kept and ignored.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from sipbridge.calls.model import CallRecord, CallState, EndedBy
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import Headers
from sipbridge.calls.ports.store import Unfinished
from sipbridge.handoffs.record import Turn

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One entry: the event, the call, and the line in the file."""

    what: str
    call_id: str
    line: bytes


def began(record: CallRecord, headers: Headers) -> Entry:
    """The caller is about to be answered."""
    return _entry("began", record.call_id, record=_json(record), headers=dict(headers))


def answered(call_id: str, at: datetime) -> Entry:
    """The caller was answered."""
    return _entry("answered", call_id, at=at)


def turns(call_id: str, added: Iterable[Turn]) -> Entry:
    """The transcript has grown."""
    return _entry("turns", call_id, turns=[_json(turn) for turn in added])


def handing_off(record: CallRecord) -> Entry:
    """A handoff begins, and the store will have its record later."""
    return _entry("handing_off", record.call_id, record=_json(record))


def signalling(record: CallRecord) -> Entry:
    """The first byte of a Signal is about to go out; its parameters are in the record."""
    return _entry("signalling", record.call_id, record=_json(record))


def signalled(call_id: str, result: SignalResult) -> Entry:
    """The result of the Signal."""
    return _entry("signalled", call_id, result=result.value)


def withheld(call_ids: Iterable[str]) -> list[Entry]:
    """The contact of each of these calls is signalled through another one."""
    return [signalled(call_id, SignalResult.DUPLICATE) for call_id in call_ids]


def hanging_up(call_id: str, by: EndedBy, at: datetime) -> Entry:
    """Our BYE is about to be sent."""
    return _entry("hanging_up", call_id, by=by, at=at)


def hung_up(call_id: str, by: EndedBy, at: datetime) -> Entry:
    """The caller's leg has ended."""
    return _entry("hung_up", call_id, by=by, at=at)


def ended(record: CallRecord) -> Entry:
    """The call is over; its record is not in the store."""
    return _entry("ended", record.call_id, record=_json(record))


def stored(call_id: str) -> Entry:
    """The call is over, and its record is in the store."""
    return _entry("stored", call_id)


def _entry(what: str, call_id: str, **more: object) -> Entry:
    return Entry(what, call_id, orjson.dumps({"what": what, "call": call_id, **more}, option=orjson.OPT_APPEND_NEWLINE))


def _json(model: CallRecord | Turn) -> orjson.Fragment:
    try:
        return orjson.Fragment(model.as_json if isinstance(model, CallRecord) else model.model_dump_json())
    except ValueError:
        # pydantic rejects lone surrogates. This accepts them, and takes four times as long.
        return orjson.Fragment(json.dumps(model.model_dump(mode="json"), separators=(",", ":")))


class OpenCalls:
    """The calls that the entries so far leave open. `size` is the length of their entries in bytes."""

    def __init__(self) -> None:
        self._lines: dict[str, list[bytes]] = {}
        self.size = 0

    def add_line(self, line: bytes) -> bool:
        """Add a line of a file, with or without its line end; return False if it is incomplete or corrupt."""
        line = line.rstrip(b"\n")
        found = _read(line)
        if found is None:
            return False
        self.add(Entry(found["what"], found["call"], line + b"\n"))
        return True

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        what, call_id, line = entry
        if what in ("stored", "ended"):
            self.size -= sum(map(len, self._lines.pop(call_id, ())))
        if what in ("began", "ended") or (what != "stored" and call_id in self._lines):
            self._lines.setdefault(call_id, []).append(line)
            self.size += len(line)

    def lines(self) -> bytes:
        """Return the entries of the open calls."""
        return b"".join(line for lines in self._lines.values() for line in lines)

    def unfinished(self) -> list[Unfinished]:
        """Return the open calls."""
        found = (_unfinished(lines) for lines in self._lines.values())
        return [each for each in found if each is not None]


def read_call(lines: bytes) -> Unfinished | None:
    """Return the call that these entries leave open; None if they cannot be read, which is logged."""
    return _unfinished(lines.splitlines())


def _read(line: bytes) -> Mapping[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_entry = isinstance(entry, dict) and isinstance(entry.get("what"), str) and isinstance(entry.get("call"), str)
    return entry if is_entry else None


def _unfinished(lines: list[bytes]) -> Unfinished | None:
    try:
        first, *rest = map(json.loads, lines)
        call = Unfinished(CallRecord.model_validate(first["record"]), first.get("headers", {}))
        for entry in rest:
            call = _after(call, entry)
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
        extra = {"event": "journal_failed"}
        # Without a traceback, which would quote the entry.
        logger.error("journal entry not readable; its call is not recovered", extra=extra)  # noqa: TRY400
        return None
    return call


def _after(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    """Return the call after an entry."""
    change = _CHANGES.get(entry["what"])
    return call if change is None else change(call, entry)


def _after_answer(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    return _changed(call, state=CallState.TALKING, answered_at=datetime.fromisoformat(entry["at"]))


def _after_turns(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    added = map(Turn.model_validate, entry["turns"])
    return replace(call, record=call.record.changed(transcript=(*call.record.transcript, *added)))


def _after_record(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    record = CallRecord.model_validate(entry["record"])
    # It may have been made before the last turns, and it has no end of the leg, which stands all the same.
    transcript = max(call.record.transcript, record.transcript, key=len)
    end = {"ended_by": call.record.ended_by, "ended_at": call.record.ended_at} if call.record.ended_at else {}
    return replace(call, record=record.changed(transcript=transcript, **end))


def _after_signalling(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    return replace(_after_record(call, entry) if "record" in entry else call, signal=SignalResult.UNKNOWN)


def _after_signal(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    result = SignalResult(entry["result"])
    # A Signal that certainly did not arrive left the contact unchanged.
    return replace(call, signal=None if result is SignalResult.UNDELIVERED else result)


def _after_hanging_up(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    return call if call.record.ended_at else replace(_after_end(call, entry), bye_unknown=True)


def _after_end(call: Unfinished, entry: Mapping[str, Any]) -> Unfinished:
    over = _changed(call, ended_by=entry["by"], ended_at=datetime.fromisoformat(entry["at"]))
    return replace(over, bye_unknown=False)


def _changed(call: Unfinished, **changes: object) -> Unfinished:
    """Return the call with changes of its record, which are validated."""
    return replace(call, record=CallRecord.model_validate(call.record.model_dump() | changes))


_CHANGES: Mapping[str, Callable[[Unfinished, Mapping[str, Any]], Unfinished]] = {
    "answered": _after_answer,
    "turns": _after_turns,
    "handing_off": _after_record,
    "signalling": _after_signalling,
    "signalled": _after_signal,
    "hanging_up": _after_hanging_up,
    "hung_up": _after_end,
}
