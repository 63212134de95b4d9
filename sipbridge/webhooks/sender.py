"""The delivery of the events of all chats, or of all calls, to the webhooks of their projects."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

from sipbridge.aio import BackgroundTasks
from sipbridge.config import ProjectKey
from sipbridge.dns import Resolver
from sipbridge.errors import StoreError
from sipbridge.log_sampling import BurstLimit
from sipbridge.webhooks.backoff import GIVE_UP_SECONDS, Backoff
from sipbridge.webhooks.event_queue import UNKNOWN, EventQueue
from sipbridge.webhooks.lane import Lane
from sipbridge.webhooks.model import DeliveryOutcome, DeliveryResult, Event, EventSource, Undelivered, Webhook
from sipbridge.webhooks.poster import Attempt, Poster

ATTEMPT_SECONDS = 10.0
TYPING_SECONDS = 3.0  # after that, a typing event is no longer true
_STORE_PAUSE_SECONDS = 5.0
_CLOSE_SECONDS = 2.0  # for attempts in progress to end
_MAX_AHEAD = 10_000

logger = logging.getLogger(__name__)


class WebhookSender:
    """Posts each event to the webhook of its project.

    The events of a chat or call, which its `uid` names, are posted one after another in the order of their sequences.
    An event is settled by a 2xx, or by a 3xx or 4xx that refuses it for good. Without a response, and after 408, 429
    and 5xx, it is posted again for 24 hours. An attempt may be received and its response lost, so an event may arrive
    twice, with the same id.

    `find_webhook` is asked before each attempt, so a new secret or a corrected URL applies to events that wait as well.
    It is called often and must be quick. `may_send` is asked right before each request.
    Chats and calls that have nothing to send take no memory here.
    """

    def __init__(
        self,
        source: EventSource,
        find_webhook: Callable[[ProjectKey], Webhook | None],
        resolver: Resolver,
        observe: Callable[[DeliveryOutcome], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        backoff: Backoff = Backoff(),  # noqa: B008 (frozen)
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._find_webhook = find_webhook
        self._observe = observe
        self._now = now
        self._backoff = backoff
        self._poster = Poster(resolver, now, may_send)
        self._queues: dict[str, EventQueue] = {}
        self._lanes: dict[ProjectKey, Lane] = {}
        # By uid: the sequence up to which events were sent before they were published.
        self._ahead: dict[str, int] = {}
        # By uid: the sequence before the first event published before the rest of an earlier run is known, then None.
        self._early: dict[str, tuple[ProjectKey, int]] | None = {}
        self._tasks = BackgroundTasks()
        self._log_limit = BurstLimit(logger, count=5, window_seconds=60.0)
        self._closing = False

    # ------------------------------------------------------------ for the service

    def start(self) -> None:
        """Resume what an earlier run left, in the background. Call this before chats and calls go on."""
        self._tasks.start(self._resume())

    def resume(self, left: Iterable[Undelivered]) -> None:
        """Send what another node left, too. Call this before its chats go on here."""
        for each in left:
            if self._early is not None:
                self._early[each.uid] = (each.project, each.sequence)
            elif each.uid not in self._queues and self._find_webhook(each.project) is not None:
                self._begin(each.uid, each.project, each.sequence)

    def forget(self, uids: Collection[str] | None) -> None:
        """Send nothing more of these chats or calls, or of all: another node does. Requests in progress end."""
        for uid in list(self._queues) if uids is None else uids:
            queue = self._queues.pop(uid, None)
            if queue is not None and queue.retry is not None:
                queue.retry.cancel()
                self._lane(queue.project).waiting.discard(queue)
            self._ahead.pop(uid, None)

    def _begin(self, uid: str, project: ProjectKey, cursor: int) -> None:
        """Begin to send the events that the source has after a position."""
        queue = self._queues[uid] = EventQueue(uid, project, cursor, unread=True)
        self._schedule(queue)

    def backlog(self) -> Counter[ProjectKey]:
        """Return the number of chats or calls with events to send, by project."""
        return Counter(queue.project for queue in self._queues.values())

    async def close(self) -> None:
        """Stop. Events that are not delivered are left to the next start."""
        self._closing = True
        for queue in self._queues.values():
            if queue.retry is not None:
                queue.retry.cancel()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._tasks.wait()
        except TimeoutError:
            self._tasks.cancel()
            await self._tasks.wait()
        await self._poster.close()

    # ------------------------------------------------------------ for chats and calls

    def publish(self, project: ProjectKey, uid: str, event: Event) -> bool:
        """Take an event. The source has it already, except typing. Return False if the project has no webhook."""
        if self._closing:
            return True
        if self._find_webhook(project) is None:
            return False
        if self._early is None:
            self._add(uid, project, event)
        elif event.sequence is not None:
            self._early.setdefault(uid, (project, event.previous))
        return True

    def mark_position(self, uid: str) -> None:
        """Note in the source which events of a chat or call were delivered: it keeps the position from now on."""
        queue = self._queues.get(uid)
        if queue is not None:
            self._source.mark_delivered(queue.project, uid, queue.cursor)

    def send_again(self, project: ProjectKey, uid: str) -> None:
        """Send all events that the source has, as it is not known which of them an earlier run delivered."""
        if self._closing or self._find_webhook(project) is None:
            return
        if self._early is not None:
            self._early[uid] = (project, 0)
        elif uid not in self._queues:
            self._begin(uid, project, 0)

    def _add(self, uid: str, project: ProjectKey, event: Event) -> None:
        if event.sequence is not None and uid in self._ahead:
            if event.sequence <= self._ahead[uid]:
                return
            del self._ahead[uid]
        queue = self._queues.get(uid)
        is_new = queue is None
        if queue is None:
            queue = EventQueue(uid, project, UNKNOWN)
        if not queue.add(event):
            self._report(project, DeliveryResult.DROPPED)
        if is_new:
            self._queues[uid] = queue
            self._schedule(queue)

    # ------------------------------------------------------------ what an earlier run left

    async def _resume(self) -> None:
        while True:
            try:
                left = await self._source.undelivered()
                break
            except StoreError as error:
                logger.warning("undelivered events not read: %s", error, extra={"event": "webhook_store_fault"})
                await asyncio.sleep(_STORE_PAUSE_SECONDS)
        early, self._early = self._early or {}, None
        cursors = early | {each.uid: (each.project, each.sequence) for each in left}
        for uid, (project, cursor) in cursors.items():
            if self._find_webhook(project) is not None:
                self._begin(uid, project, cursor)

    # ------------------------------------------------------------ delivery

    def _lane(self, project: ProjectKey) -> Lane:
        lane = self._lanes.get(project)
        if lane is None:
            lane = self._lanes[project] = Lane()
        return lane

    def _schedule(self, queue: EventQueue) -> None:
        """Let a worker of the project send the next event of a queue."""
        queue.retry = None
        lane = self._lane(queue.project)
        lane.ready.append(queue)
        if lane.has_slot and not self._closing:
            lane.workers += 1
            self._tasks.start(self._work(lane))

    async def _work(self, lane: Lane) -> None:
        """Send the next event of each queue in turn, until none has one that may be sent now."""
        try:
            while lane.ready and not self._closing:
                queue = lane.ready.popleft()
                if not self._has(queue):
                    continue
                try:
                    await self._send_first(queue, lane)
                except StoreError as error:
                    self._log("webhook_store_fault", f"stored events not read: {error}", queue.project)
                    self._wait(queue, lane, _STORE_PAUSE_SECONDS)
                except Exception:  # one queue's fault must not end the deliveries of the others
                    extra = _extra("webhook_fault", queue.project)
                    logger.exception("internal error: event not delivered", extra=extra)
                    queue.failures += 1
                    queue.release()
                    self._wait(queue, lane, self._backoff.most_seconds)
        finally:
            lane.workers -= 1

    def _has(self, queue: EventQueue) -> bool:
        """True unless the queue was forgotten."""
        return self._queues.get(queue.uid) is queue

    async def _send_first(self, queue: EventQueue, lane: Lane) -> None:
        webhook = self._find_webhook(queue.project)
        event = None if webhook is None else await queue.first(self._source)
        if webhook is None:
            self._discard(queue)
        elif event is None:
            self._remove(queue)
        elif event.sequence is None:
            await self._send_typing(queue, webhook, event)
            self._go_on(queue, lane)
        elif queue.failures and (self._now() - event.at).total_seconds() > GIVE_UP_SECONDS:
            self._report(queue.project, DeliveryResult.GIVEN_UP)
            self._log("webhook_event_lost", "event given up: not delivered within 24 hours", queue.project)
            self._settle(queue, event)
            self._go_on(queue, lane)
        else:
            started_at = self._loop.time()
            attempt = await self._poster.post(webhook, event, queue.uid, ATTEMPT_SECONDS)
            self._report(queue.project, attempt.result, self._loop.time() - started_at)
            self._apply(attempt, queue, event, lane)

    async def _send_typing(self, queue: EventQueue, webhook: Webhook, event: Event) -> None:
        """Post a typing event once, unless it is late."""
        queue.settle(event)
        left = TYPING_SECONDS - (self._now() - event.at).total_seconds()
        result, seconds = DeliveryResult.DROPPED, None
        if left > 0:
            started_at = self._loop.time()
            attempt = await self._poster.post(webhook, event, queue.uid, min(left, TYPING_SECONDS))
            seconds = self._loop.time() - started_at
            result = DeliveryResult.DROPPED if attempt.result is DeliveryResult.RETRIED else attempt.result
        self._report(queue.project, result, seconds)

    def _apply(self, attempt: Attempt, queue: EventQueue, event: Event, lane: Lane) -> None:
        if attempt.result is DeliveryResult.RETRIED:
            queue.failures += 1
            queue.release()
            if lane.record_failure(responded=attempt.responded):
                self._log("webhook_failing", f"webhook does not accept events: {attempt.detail}", queue.project)
            pause = self._backoff.pause(queue.failures, attempt.retry_after)
            self._wait(queue, lane, pause, wakes=not attempt.responded)
            return
        if attempt.result is DeliveryResult.REFUSED:
            self._log("webhook_event_lost", f"event refused by the webhook: {attempt.detail}", queue.project)
        queue.failures = 0
        self._settle(queue, event)
        self._go_on(queue, lane)
        if lane.record_success():
            logger.debug("webhook accepts events again", extra=_extra("webhook_recovered", queue.project))
        for waiting in lane.take_waiting():
            self._wake(waiting)

    def _settle(self, queue: EventQueue, event: Event) -> None:
        queue.settle(event)
        self._source.mark_delivered(queue.project, queue.uid, queue.cursor)

    def _go_on(self, queue: EventQueue, lane: Lane) -> None:
        """Send the next event of the queue after those of the others that are ready."""
        if queue.is_empty:
            self._remove(queue)
        elif self._has(queue):
            lane.ready.append(queue)

    def _wait(self, queue: EventQueue, lane: Lane, seconds: float, *, wakes: bool = False) -> None:
        """Send the first event of the queue again in that many seconds, or when the webhook responds (`wakes`)."""
        if self._closing or not self._has(queue):
            return
        queue.retry = self._loop.call_later(seconds, self._wake, queue)
        if wakes:
            lane.waiting.add(queue)

    def _wake(self, queue: EventQueue) -> None:
        if queue.retry is not None:
            queue.retry.cancel()
        self._lane(queue.project).waiting.discard(queue)
        self._schedule(queue)

    def _discard(self, queue: EventQueue) -> None:
        """Forget the events of a queue whose project has no webhook any more."""
        self._source.mark_delivered(queue.project, queue.uid, queue.last)
        self._report(queue.project, DeliveryResult.DROPPED)
        self._remove(queue)

    def _remove(self, queue: EventQueue) -> None:
        if not self._has(queue):
            return
        del self._queues[queue.uid]
        if queue.is_ahead:
            self._ahead[queue.uid] = queue.cursor
            if len(self._ahead) > _MAX_AHEAD:
                del self._ahead[next(iter(self._ahead))]

    # ------------------------------------------------------------ reports

    def _report(self, project: ProjectKey, result: DeliveryResult, seconds: float | None = None) -> None:
        self._observe(DeliveryOutcome(project.client, project.project, result, seconds))

    def _log(self, event: str, message: str, project: ProjectKey) -> None:
        if self._log_limit.allows(event, client=project.client, project=project.project):
            logger.warning("%s", message, extra=_extra(event, project))


def _extra(event: str, project: ProjectKey) -> dict[str, str]:
    return {"event": event, "client": project.client, "project": project.project}
