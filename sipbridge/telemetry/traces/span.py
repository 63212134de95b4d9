"""A span that has ended: a call or chat, or one stage of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.trace_context import TraceContext

Attributes = Mapping[str, str | int | bool]
Kind = Literal["internal", "server", "client"]
Times = tuple[int, int]  # the start and the end, in nanoseconds since 1970

# A peer or the bridge failed. A caller who hangs up has not, and neither has a handoff that was not confirmed.
_FAILURES = (Result.SERVER_ERROR, Result.UPSTREAM_ERROR)


@dataclass(frozen=True, slots=True)
class Span:
    """A span.

    `span_id` is None if no other span names this one as its parent; `parent_id` is None for the root span.
    `error` is the value of `error.type`, empty if nothing failed.
    """

    trace_id: int
    span_id: int | None
    parent_id: int | None
    name: str
    times: Times
    attributes: Attributes
    kind: Kind
    error: str = ""


class SpanMaker:
    """A maker of the spans of one call or chat. Each has the attributes `ids`, since the root span is sent last.

    `turn` distinguishes stages that come again, with their own stages.
    """

    __slots__ = ("_ids", "_trace", "_turn")

    def __init__(self, trace: TraceContext, ids: Attributes, turn: str = "") -> None:
        self._trace = trace
        self._turn = turn
        self._ids = ids

    def root(self, name: str, times: Times, outcome: Outcome | None, more: Attributes) -> Span:
        """Return the span of the whole call or chat. A peer began it, so its kind is that of a server."""
        return self._span(self._trace.span_id, None, name, times, outcome, more, "server")

    def stage(
        self,
        name: str,
        times: Times,
        outcome: Outcome | None = None,
        more: Attributes | None = None,
        *,
        kind: Kind = "internal",
        under: str | None = None,
        has_stages: bool = False,
    ) -> Span:
        """Return the span of a stage: of the root span, or of the stage `under`, which `has_stages`."""
        span_id = self._trace.derived_id(name + self._turn) if has_stages else None
        parent_id = self._trace.derived_id(under + self._turn) if under else self._trace.span_id
        return self._span(span_id, parent_id, name, times, outcome, more or {}, kind)

    def _span(
        self,
        span_id: int | None,
        parent_id: int | None,
        name: str,
        times: Times,
        outcome: Outcome | None,
        more: Attributes,
        kind: Kind,
    ) -> Span:
        attributes = {**self._ids, **more}
        error = ""
        if outcome is not None:
            attributes |= {"sipbridge.result": outcome.result.value, "sipbridge.reason": outcome.reason}
            error = outcome.reason if outcome.result in _FAILURES else ""
        return Span(self._trace.trace_id, span_id, parent_id, name, times, attributes, kind, error)


def between(start: datetime, end: datetime | None = None) -> Times:
    """Return the times of what began then; it ends now if `end` is None."""
    return _nanoseconds(start), _nanoseconds(end or datetime.now(UTC))


def just_ended(seconds: float) -> Times:
    """Return the times of what ends now and took this long."""
    end = time.time_ns()
    return end - round(seconds * 1e9), end


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000) * 1000
