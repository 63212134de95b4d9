"""The events of calls: when they happen, after failures, and after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipbridge.calls.events import (
    CallAnswered,
    CallEnded,
    CallEvent,
    CallStarted,
    HandoffFinished,
    HandoffStarted,
    RecordRecovered,
)
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.live_call import CallDirectory, LiveCall
from sipbridge.calls.ports.store import RecordStore
from sipbridge.config import ProjectKey, StoreConfig
from sipbridge.dns import Resolver
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.handoffs.record import HandoffState
from sipbridge.store import open_store
from sipbridge.web import render_milestone
from sipbridge.webhooks import CallSource, CallWebhooks, DeliveryOutcome, HeldEnds, Webhook, WebhookSender
from tests.fakes import FakeStore, Journal
from tests.fakes.call import FakeLiveCall
from tests.store.records import make_handoff, make_record

from .conftest import QUICK, SECRET, until
from .receiver import OK, Receiver, hmac_sha256, status

PROJECT = ProjectKey("acme", "billing")
SUCCESS = Outcome(Result.SUCCESS, "handed_off")
ALL = [1, 2, 3, 4, 7]


class Directory:
    """Implements `CallDirectory` for the calls of the tests."""

    def __init__(self) -> None:
        self.calls: dict[str, LiveCall] = {}

    def find(self, client: str, project: str, call_id: str) -> LiveCall | None:
        call = self.calls.get(call_id)
        return call if call and (call.record.client, call.record.project) == (client, project) else None

    def find_shared(self, client: str, project: str, shared_id: str) -> LiveCall | None:
        raise NotImplementedError

    def of_project(self, client: str, project: str) -> list[LiveCall]:
        raise NotImplementedError

    def newest(self) -> list[LiveCall]:
        raise NotImplementedError


@dataclass
class Run:
    """One run of the bridge: the store, the calls in progress, and the delivery of their events."""

    path: Path
    webhooks: dict[ProjectKey, Webhook]
    directory: Directory = field(default_factory=Directory)
    outcomes: list[DeliveryOutcome] = field(default_factory=list)
    may_be_rescued: bool = False
    store: RecordStore = field(init=False)
    sender: WebhookSender = field(init=False)
    observe: CallWebhooks = field(init=False)

    async def open(self) -> Run:
        def has_webhook(client: str, project: str) -> bool:
            return (client, project) in self.webhooks

        config = StoreConfig(url=f"sqlite:///{self.path}", retention_hours=24)
        self.store = await open_store(config, has_webhook=has_webhook)
        directory: CallDirectory = self.directory
        held = HeldEnds(lambda: self.may_be_rescued)
        source = CallSource(directory, self.store, render_milestone, held)
        resolver = Resolver(time.monotonic)
        self.sender = WebhookSender(source, self.webhooks.get, resolver, self.outcomes.append, backoff=QUICK)
        self.observe = CallWebhooks(self.sender, has_webhook, render_milestone, held)
        self.sender.start()
        return self

    async def close(self) -> None:
        await self.sender.close()
        await self.store.close()

    async def call(self, call_id: str = "c1", *, until_event: type[CallEvent] = CallEnded) -> CallRecord:
        """Go through a call with a handoff, until an event."""
        call = FakeLiveCall()
        now = datetime.now(UTC)
        call.record = make_record(call_id, state=CallState.RINGING, started_at=now)
        self.directory.calls[call_id] = call

        def change(**changes: object) -> CallRecord:
            call.record = call.record.changed(**changes)
            return call.record

        handoff = make_handoff(handoff_at=now + timedelta(seconds=2))
        done = handoff.changed(state=HandoffState.COMPLETED, confirmed=True, finished_at=now + timedelta(seconds=3))
        ended = {"state": CallState.ENDED, "ended_at": now + timedelta(seconds=4), "result": Result.SUCCESS}
        for event in (
            lambda: CallStarted(change()),
            lambda: CallAnswered(change(state=CallState.TALKING, answered_at=now + timedelta(seconds=1)), 1.0),
            lambda: HandoffStarted(change(state=CallState.HANDING_OFF, handoff=handoff)),
            lambda: HandoffFinished(change(handoff=done), "release", SUCCESS, 1.0),
            lambda: CallEnded(change(**ended), SUCCESS, 4.0),
        ):
            reported: CallEvent = event()
            if isinstance(reported, CallEnded):
                await self.store.put(call.record)
                del self.directory.calls[call_id]
            self.observe(reported)
            if isinstance(reported, until_event):
                break
        return call.record

    async def until_nothing_waits(self) -> None:
        await until(lambda: not self.sender.backlog(), 5)


@pytest.fixture
def webhooks(receiver: Receiver) -> dict[ProjectKey, Webhook]:
    return {PROJECT: Webhook(receiver.url, SECRET)}


@pytest.fixture
async def run(tmp_path: Path, webhooks: dict[ProjectKey, Webhook]) -> AsyncIterator[Run]:
    run = await Run(tmp_path / "calls.db", webhooks).open()
    yield run
    await run.close()


async def restart(run: Run) -> Run:
    await run.close()
    return await Run(run.path, run.webhooks).open()


def sequences(receiver: Receiver, call_id: str = "c1") -> list[int | None]:
    return [sequence for call, sequence in receiver.accepted if call == call_id]


async def test_the_events_of_a_call_are_posted_in_order_and_signed(run: Run, receiver: Receiver) -> None:
    record = await run.call()
    await receiver.until_accepted(5)
    assert sequences(receiver) == ALL
    assert [posted.event["type"] for posted in receiver.posted] == [
        "call.started",
        "call.answered",
        "handoff.started",
        "handoff.finished",
        "call.ended",
    ]
    assert [posted.event["payload"]["state"] for posted in receiver.posted] == [
        "ringing",
        "talking",
        "handing_off",
        "handing_off",
        "ended",
    ]
    last = receiver.posted[-1]
    assert set(last.event) == {"id", "sequence", "call_id", "type", "at", "payload"}
    assert last.event["id"] == last.headers["x-sipbridge-delivery"] == "c1-7"
    assert record.ended_at
    assert datetime.fromisoformat(last.event["at"]) == record.ended_at
    assert last.event["payload"]["handoff"]["state"] == "handoff_completed"
    signed = hmac_sha256(SECRET, last.headers["x-sipbridge-timestamp"].encode() + b"." + last.body)
    assert last.headers["x-sipbridge-signature"] == f"sha256={signed}"


async def test_a_project_without_a_webhook_stores_nothing_for_one(run: Run, receiver: Receiver) -> None:
    run.webhooks.clear()
    await run.call()
    assert await run.store.undelivered() == []
    assert not run.sender.backlog()
    assert not receiver.posted


async def test_a_delivered_call_leaves_nothing_behind(run: Run, receiver: Receiver) -> None:
    await run.call()
    await receiver.until_accepted(5)
    await run.until_nothing_waits()
    again = await restart(run)
    assert await again.store.undelivered() == []
    await again.close()
    assert len(receiver.posted) == 5


async def test_a_retry_sends_the_event_as_it_was(run: Run, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    await run.call()
    await receiver.until_posted(2)
    first, second = receiver.posted[:2]
    assert first.body == second.body
    receiver.respond = lambda _: OK
    await receiver.until_accepted(5)
    assert receiver.posted[-5].body == first.body


async def test_what_was_not_delivered_is_sent_after_a_restart_with_the_same_ids(run: Run, receiver: Receiver) -> None:
    receiver.respond = lambda posted: OK if posted.event["sequence"] <= 3 else status(503)
    await run.call()
    await receiver.until_posted(5)
    receiver.respond = lambda _: status(503)
    again = await restart(run)
    assert [(each.call_id, each.sequence) for each in await again.store.undelivered()] == [("c1", 3)]
    refused = receiver.posted[3]
    receiver.respond = lambda _: OK
    await receiver.until_accepted(5)
    assert sequences(receiver) == ALL
    assert receiver.posted[-2].body == refused.body
    await again.close()


async def test_a_call_that_a_crash_interrupted_is_sent_again_from_its_start(run: Run, receiver: Receiver) -> None:
    left = await run.call(until_event=CallAnswered)
    await receiver.until_accepted(2)
    again = await restart(run)
    # The journal has the record of the answer to come, without its time.
    recovered = left.changed(
        answered_at=None, state=CallState.ENDED, ended_at=datetime.now(UTC), handoff=make_handoff(reason="restarted")
    )
    await again.store.put(recovered)
    again.observe(RecordRecovered(recovered))
    await receiver.until_accepted(5)
    assert sequences(receiver) == [1, 2, 1, 3, 7]
    first, repeated = (posted for posted in receiver.posted if posted.event["sequence"] == 1)
    assert first.body == repeated.body
    await again.until_nothing_waits()
    await again.close()


async def test_the_position_of_a_call_in_progress_is_not_stored() -> None:
    directory, store = Directory(), FakeStore(Journal())
    source = CallSource(directory, store, render_milestone, HeldEnds())
    call = FakeLiveCall()
    call.record = make_record("c1")
    directory.calls["c1"] = call
    source.mark_delivered(PROJECT, "c1", 2)
    assert store.delivered == []
    del directory.calls["c1"]
    source.mark_delivered(PROJECT, "c1", 4)
    assert store.delivered == [("c1", 4)]


async def test_the_end_of_a_call_that_another_node_has_taken_over_is_not_sent(run: Run, receiver: Receiver) -> None:
    record = await run.call(until_event=HandoffFinished)
    await receiver.until_accepted(4)
    await run.until_nothing_waits()
    ended = record.changed(state=CallState.ENDED, ended_at=record.started_at + timedelta(seconds=4))
    await run.store.put(ended)
    del run.directory.calls["c1"]
    run.observe(CallEnded(ended, SUCCESS, 4.0, superseded=True))
    await run.call("c2")
    await receiver.until_accepted(4 + len(ALL))
    await run.until_nothing_waits()
    assert (sequences(receiver), sequences(receiver, "c2")) == (ALL[:-1], ALL)


async def end_unstored(run: Run, receiver: Receiver) -> CallEnded:
    """End a call whose record the store does not have yet."""
    record = await run.call(until_event=HandoffFinished)
    await receiver.until_accepted(4)
    await run.until_nothing_waits()
    del run.directory.calls["c1"]
    ended = record.changed(state=CallState.ENDED, ended_at=record.started_at + timedelta(seconds=4))
    return CallEnded(ended, SUCCESS, 4.0, stored=False)


@pytest.mark.parametrize("stands", [True, False])
async def test_a_node_that_may_be_rescued_sends_no_end_before_it_knows_whose_record_stands(
    run: Run, receiver: Receiver, *, stands: bool
) -> None:
    run.may_be_rescued = True
    end = await end_unstored(run, receiver)
    run.observe(end)
    await run.call("c2")
    await receiver.until_accepted(4 + len(ALL))
    await run.until_nothing_waits()
    assert sequences(receiver) == ALL[:-1]
    await run.store.put(end.record if stands else end.record.changed(reason="node_lost"))
    run.observe.settled("c1", stands=stands)
    await run.call("c3")
    await receiver.until_accepted(4 + 2 * len(ALL) + stands)
    await run.until_nothing_waits()
    assert sequences(receiver) == (ALL if stands else ALL[:-1])
    run.observe.settled("c1", stands=True)
    assert not run.sender.backlog(), "it is sent once"


async def test_events_that_wait_while_the_end_is_held_do_not_take_it_along(run: Run, receiver: Receiver) -> None:
    receiver.respond = lambda posted: OK if posted.event["sequence"] < 4 else status(503)
    run.may_be_rescued = True
    record = await run.call(until_event=HandoffFinished)
    await receiver.until_posted(5)
    del run.directory.calls["c1"]
    ended = record.changed(state=CallState.ENDED, ended_at=record.started_at + timedelta(seconds=4))
    await run.store.put(ended)  # the source has it, as the backlog does
    run.observe(CallEnded(ended, SUCCESS, 4.0, stored=False))
    receiver.respond = lambda _: OK
    await receiver.until_accepted(4)
    await run.until_nothing_waits()
    assert sequences(receiver) == ALL[:-1]


async def test_a_node_that_cannot_be_rescued_sends_the_end_while_the_store_is_away(
    run: Run, receiver: Receiver
) -> None:
    run.observe(await end_unstored(run, receiver))
    await receiver.until_accepted(5)
    assert sequences(receiver) == ALL


async def test_a_dead_webhook_delays_no_call(run: Run, receiver: Receiver) -> None:
    receiver.respond = lambda _: b""
    async with asyncio.timeout(5):
        for number in range(50):
            await run.call(f"c{number}")
    assert len(await run.store.undelivered()) == 50


async def test_an_erased_call_is_not_sent(run: Run, receiver: Receiver) -> None:
    receiver.respond = lambda _: status(503)
    await run.call()
    await receiver.until_posted(1)
    assert await run.store.delete(*PROJECT, "c1")
    await run.until_nothing_waits()
    assert await run.store.undelivered() == []
    assert not receiver.accepted


async def test_an_event_that_was_read_before_it_was_reported_arrives_once(run: Run, receiver: Receiver) -> None:
    responses = iter([status(503)])
    receiver.respond = lambda _: next(responses, OK)
    record = await run.call(until_event=CallStarted)
    live = run.directory.calls["c1"]
    assert isinstance(live, FakeLiveCall)
    live.record = record.changed(state=CallState.TALKING, answered_at=record.started_at)
    await receiver.until_accepted(2)
    await run.until_nothing_waits()
    run.observe(CallAnswered(live.record, 1.0))
    live.record = live.record.changed(state=CallState.ENDED, ended_at=record.started_at)
    run.observe(CallEnded(live.record, SUCCESS, 1.0))
    await receiver.until_accepted(3)
    assert sequences(receiver) == [1, 2, 7]
