"""The events of calls, as their webhooks get them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sipbridge.calls.events import CallEnded, RecordRecovered
from sipbridge.calls.milestones import LAST, MILESTONE_TYPES, Milestone, Reported, milestone_of, milestones_of
from sipbridge.calls.ports.live_call import CallDirectory
from sipbridge.calls.ports.observer import SelectiveObserver
from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import ProjectKey
from sipbridge.webhooks.held_ends import HeldEnds
from sipbridge.webhooks.model import Undelivered
from sipbridge.webhooks.sender import WebhookSender

Render = Callable[[Milestone], str]


@dataclass(frozen=True, slots=True)
class MilestoneEvent:
    """A milestone as an `Event`. `render` makes its JSON, which takes longer than all else, when it is sent."""

    milestone: Milestone
    render: Render

    @property
    def id(self) -> str:
        """The id, the same in each attempt and after a restart."""
        return self.milestone.id

    @property
    def sequence(self) -> int:
        """The position among the milestones of a call."""
        return self.milestone.sequence

    @property
    def previous(self) -> int:
        """The sequence of the milestone before it."""
        return self.milestone.previous

    @property
    def at(self) -> datetime:
        """The time of the milestone."""
        return self.milestone.at

    def to_json(self) -> str:
        """Return the body of the request."""
        return self.render(self.milestone)


class CallSource:
    """An `EventSource` that stores no event: each follows from the record of the call, in progress or stored.

    A call in progress is in the journal, and the next start sends its events again after a crash. When a call ends, the
    store notes together with its record that events may wait. So the position of the webhook matters, and is stored,
    from then on only.
    """

    def __init__(self, directory: CallDirectory, store: RecordStore, render: Render, held: HeldEnds) -> None:
        self._directory = directory
        self._store = store
        self._render = render
        self._held = held

    async def undelivered(self) -> Sequence[Undelivered]:
        """Return the ended calls with events that the webhook did not get."""
        left = await self._store.undelivered()
        return [Undelivered(ProjectKey(each.client, each.project), each.call_id, each.sequence) for each in left]

    async def events(self, project: ProjectKey, uid: str, *, after: int, limit: int) -> Sequence[MilestoneEvent]:
        """Return the events of a call with a sequence over `after`; none if its record was erased."""
        live = self._directory.find(*project, uid)
        record = live.record if live else await self._store.get(*project, uid)
        found = milestones_of(record) if record else []
        # The end of a call is not reported before the store has its record, and knows that events wait.
        until = LAST if live or uid in self._held else LAST + 1
        return [MilestoneEvent(each, self._render) for each in found if after < each.sequence < until][:limit]

    def mark_delivered(self, project: ProjectKey, uid: str, sequence: int) -> None:
        """Note the position of the webhook if the call has ended."""
        if self._directory.find(*project, uid) is None:
            self._store.mark_delivered(*project, uid, sequence)


class CallWebhooks(SelectiveObserver):
    """An `Observer` that passes the milestones of calls on to the sender."""

    def __init__(
        self, sender: WebhookSender, has_webhook: Callable[[str, str], bool], render: Render, held: HeldEnds
    ) -> None:
        super().__init__({**dict.fromkeys(MILESTONE_TYPES, self._publish), RecordRecovered: self._send_again})
        self._sender = sender
        self._has_webhook = has_webhook
        self._render = render
        self._held = held

    def settled(self, call_id: str, *, stands: bool) -> None:
        """Report the end of a call if it was held and the record of this node stands; see `OnSettled`."""
        end = self._held.release(call_id)
        if end is None:
            return
        if stands:
            self._send(end)
        else:
            self._sender.forget([call_id])

    def _publish(self, event: Reported) -> None:
        """Pass the milestone of an event on. For a project without a webhook the cost is negligible."""
        record = event.record
        if isinstance(event, CallEnded) and event.superseded:
            self._sender.forget([record.call_id])  # the other node sends all its events
            return
        if not self._has_webhook(record.client, record.project):
            return
        if not (isinstance(event, CallEnded) and self._held.hold(event)):
            self._send(event)

    def _send(self, event: Reported) -> None:
        record = event.record
        if milestone := milestone_of(event):
            project = ProjectKey(record.client, record.project)
            self._sender.publish(project, record.call_id, MilestoneEvent(milestone, self._render))
            if isinstance(event, CallEnded):
                self._sender.mark_position(record.call_id)

    def _send_again(self, event: RecordRecovered) -> None:
        record = event.record
        if self._has_webhook(record.client, record.project):
            self._sender.send_again(ProjectKey(record.client, record.project), record.call_id)
