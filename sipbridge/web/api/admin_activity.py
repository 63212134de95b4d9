"""The calls and chats of this bridge for operators. A wallboard asks every few seconds, so it must be cheap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field

from sipbridge.errors import NotFound
from sipbridge.handoffs.outcome import Result
from sipbridge.web.api.admin_schemas import (
    Activity,
    CallInProgress,
    CallTimeline,
    ChatInProgress,
    EndedCall,
    OutcomeCount,
    PartHealth,
)
from sipbridge.web.api.operation import CALL_ID_PATTERN, Empty, Operation, RequestContext, Response, json_response
from sipbridge.web.operators.tally import HEALTH, Latest, Part, Series
from sipbridge.web.operators.timelines import MAX_ENDED
from sipbridge.web.server.auth import Access
from sipbridge.web.server.pacing import PACER

MAX_SHOWN = 100
T = TypeVar("T")


class TimelineQuery(BaseModel):
    """The call."""

    id: Annotated[str, Field(pattern=f"^{CALL_ID_PATTERN}$", description="The call id.")]


async def get_activity(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return the calls and chats in progress, the calls that ended last, and the outcomes of the last hour.

    On a large bridge all of it takes some milliseconds, so audio gets turns of the event loop in between.
    """
    deps, next_turn = context.deps, context.request.app[PACER].next_turn
    tally, timelines = deps.last_hour.tally, deps.last_hour.timelines
    calls = [CallInProgress.of(call.record) for call in _first(deps.directory.newest())]
    chats = [ChatInProgress.of(chat.record) for chat in _first(deps.chats.directory.newest())]
    await next_turn()
    ended = [EndedCall.of(timeline) for timeline in timelines.ended(MAX_SHOWN)]
    outcomes = [OutcomeCount.of(series, count) for series, count in _ends(tally.totals())]
    await next_turn()
    health = _health(tally.latest(), tally.totals())
    await next_turn()
    return json_response(
        Activity(at=datetime.now(UTC), calls=calls, chats=chats, ended=ended, outcomes=outcomes, health=health)
    )


async def get_timeline(context: RequestContext[TimelineQuery, Empty]) -> web.Response:
    """Return the steps of a call. Raises `NotFound`."""
    timeline = context.deps.last_hour.timelines.find(context.query.id)
    if timeline is None:
        raise NotFound(f"no such call in progress here, nor among the last {MAX_ENDED} that ended")
    return json_response(CallTimeline.of(timeline))


def _ends(totals: Mapping[Series, int]) -> Iterable[tuple[Series, int]]:
    """Return the counts of calls, handoffs and chats, the most frequent ones first."""
    ends = [(series, count) for series, count in totals.items() if series.kind not in HEALTH]
    return _first(sorted(ends, key=lambda each: each[1], reverse=True))


def _health(latest: Iterable[Latest], totals: Mapping[Series, int]) -> list[PartHealth]:
    """Return the health of agents and of CXone, first of those whose newest outcome is a failure."""
    uses: Counter[Part] = Counter()
    successes: Counter[Part] = Counter()
    for series, count in totals.items():
        uses[series.part] += count
        successes[series.part] += count if series.result is Result.SUCCESS else 0
    parts = (each for each in latest if each.series.kind in HEALTH)
    failed_first = sorted(parts, key=lambda each: each.series.result is Result.SUCCESS)
    return [PartHealth.of(each, uses[each.series.part], successes[each.series.part]) for each in _first(failed_first)]


def _first(items: Iterable[T]) -> Iterable[T]:
    return islice(items, MAX_SHOWN)


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/admin/activity",
        summary="The newest calls and chats in progress, the calls that ended last, and the outcomes of the last hour",
        handler=get_activity,
        response=Response(200, "The activity of this bridge", Activity),
        query=Empty,
        body=Empty,
        access=Access.ADMIN,
        paced=True,
    ),
    Operation(
        method="GET",
        path="/v1/admin/timeline",
        summary="The steps of a call in progress, or of one of the last that ended",
        handler=get_timeline,
        response=Response(200, "The timeline", CallTimeline),
        query=TimelineQuery,
        body=Empty,
        access=Access.ADMIN,
        refuses=(NotFound,),
    ),
)
