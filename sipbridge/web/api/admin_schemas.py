"""The schemas of what operators see. They have no phone number, and nothing that a caller or customer said."""

from __future__ import annotations

from typing import Literal, Self

from sipbridge.calls.model import CallRecord, CallState, EndedBy
from sipbridge.chats.model import ChatRecord, ChatState
from sipbridge.handoffs.outcome import Result
from sipbridge.web.api.schemas import Moment, Schema
from sipbridge.web.nodes import NodeState
from sipbridge.web.operators.tally import Kind, Latest, Series
from sipbridge.web.operators.timelines import MAX_TEXT, Timeline


class DrainAccepted(Schema):
    """The bridge takes no new calls. `calls` is the number in progress."""

    state: Literal["draining"]
    calls: int


class Reloaded(Schema):
    """The configuration was reloaded.

    `restart_required` lists changed keys that take effect only after a restart. `warnings` are those of
    `sipbridge check`.
    """

    reloaded: Literal[True]
    restart_required: list[str]
    warnings: list[str]


class NodeStatus(Schema):
    """A node. The numbers are null if Redis does not have them; `url` is that of its API."""

    id: str
    url: str
    state: NodeState
    is_this: bool
    calls: int | None
    max_calls: int | None


class BridgeStatus(Schema):
    """The status of the bridge. `calls` and `chats` are the numbers in progress, `since` the time of its start.

    `obstacle` says why no new call is taken; null if calls are taken. `nodes` is empty if the store is not shared.
    """

    version: str
    draining: bool
    calls: int
    chats: int
    since: Moment
    max_calls: int
    obstacle: str | None
    nodes: list[NodeStatus]


class CallInProgress(Schema):
    """A call in progress. `destination` and `reason` are those of its handoff, empty before it.

    `taken_back` is true if the agent got the caller back from that handoff.
    """

    id: str
    client: str
    project: str
    contact_id: str
    state: CallState
    started_at: Moment
    answered_at: Moment | None
    handoff_at: Moment | None
    destination: str
    reason: str
    taken_back: bool

    @classmethod
    def of(cls, record: CallRecord) -> Self:
        """Convert a record."""
        handoff = record.handoff
        return cls(
            id=record.call_id,
            client=record.client,
            project=record.project,
            contact_id=record.contact_id,
            state=record.state,
            started_at=record.started_at,
            answered_at=record.answered_at,
            handoff_at=handoff.handoff_at if handoff else None,
            destination=handoff.destination if handoff else "",
            reason=handoff.reason[:MAX_TEXT] if handoff else "",
            taken_back=handoff.taken_back if handoff else False,
        )


class ChatInProgress(Schema):
    """A chat in progress."""

    id: str
    client: str
    project: str
    channel: str
    state: ChatState
    started_at: Moment
    reason: str

    @classmethod
    def of(cls, record: ChatRecord) -> Self:
        """Convert a record."""
        return cls(
            id=record.chat_id,
            client=record.client,
            project=record.project,
            channel=record.channel,
            state=record.state,
            started_at=record.started_at,
            reason=record.handoff.reason[:MAX_TEXT],
        )


class EndedCall(Schema):
    """A call that has ended, whose timeline can be read."""

    id: str
    client: str
    project: str
    contact_id: str
    started_at: Moment
    ended_at: Moment | None
    ended_by: EndedBy | None
    result: Result | None
    reason: str

    @classmethod
    def of(cls, timeline: Timeline) -> Self:
        """Convert a timeline."""
        record, outcome = timeline.record, timeline.outcome
        return cls(
            id=record.call_id,
            client=record.client,
            project=record.project,
            contact_id=record.contact_id,
            started_at=record.started_at,
            ended_at=record.ended_at,
            ended_by=record.ended_by,
            result=outcome.result if outcome else None,
            reason=outcome.reason if outcome else "",
        )


class OutcomeCount(Schema):
    """How often calls, handoffs or chats of a project ended in one way in the last hour."""

    kind: Kind
    client: str
    project: str
    result: Result
    reason: str
    count: int

    @classmethod
    def of(cls, series: Series, count: int) -> Self:
        """Convert a count."""
        return cls(**series._asdict(), count=count)


class PartHealth(Schema):
    """How an agent, or CXone's Signals or tokens, did in the last hour. `result`, `reason` and `at` are the newest.

    `project` is empty for Signals and tokens, which are the client's.
    """

    kind: Kind
    client: str
    project: str
    result: Result
    reason: str
    at: Moment
    uses: int
    successes: int

    @classmethod
    def of(cls, latest: Latest, uses: int, successes: int) -> Self:
        """Convert the newest outcome, with the counts of all."""
        return cls(**latest.series._asdict(), at=latest.at, uses=uses, successes=successes)


class Activity(Schema):
    """The calls and chats of this bridge, and those of the last hour. `at` is its present time.

    Each list has at most 100: the newest `calls`, `chats` and `ended`, the most frequent `outcomes`, and of `health`
    those first whose newest outcome is a failure.
    """

    at: Moment
    calls: list[CallInProgress]
    chats: list[ChatInProgress]
    ended: list[EndedCall]
    outcomes: list[OutcomeCount]
    health: list[PartHealth]


class TimelineStep(Schema):
    """A step of a call. `seconds` is its own time; `result` is null for a step that cannot fail."""

    at: Moment
    step: str
    result: Result | None
    reason: str
    detail: str
    seconds: float | None


class CallTimeline(Schema):
    """The steps of a call so far."""

    id: str
    client: str
    project: str
    contact_id: str
    state: CallState
    steps: list[TimelineStep]

    @classmethod
    def of(cls, timeline: Timeline) -> Self:
        """Convert a timeline."""
        record = timeline.record
        return cls(
            id=record.call_id,
            client=record.client,
            project=record.project,
            contact_id=record.contact_id,
            state=record.state,
            steps=[TimelineStep.model_validate(step, from_attributes=True) for step in timeline.steps],
        )
