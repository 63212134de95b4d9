"""Steps that are stored together, and a store that fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.chat import _MAX_STEPS
from sipbridge.chats.events import ChatMessageRelayed
from sipbridge.chats.model import DeliveryStatus, HumanAgent
from sipbridge.chats.ports import ChatChange
from sipbridge.chats.steps import Steps
from sipbridge.errors import StoreError
from tests.chats.world import CLIENT, NOW, PROJECT, World, active, message, world
from tests.fakes.chat_store import FakeChatStore, refusal_of
from tests.fakes.journal import Journal
from tests.store.chats.chats import make_chat


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
async def w(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world with a chat that has a human agent, and a message of the bot whose delivery is yet to be confirmed."""
    monkeypatch.setattr("sipbridge.chats.steps._RETRY_SECONDS", 0.01)
    async with world(FakeChatStore(journal)) as w:
        await active(w)
        w.channel.fates["hello"] = asyncio.get_running_loop().create_future()
        await w.say("hello", "b1")
        yield w


async def confirm(w: World) -> None:
    """Confirm the message of the bot."""
    fate = w.channel.fates["hello"]
    assert isinstance(fate, asyncio.Future)
    fate.set_result(None)
    await w.until(lambda: "hello" in w.session.texts)


def fail_next_write(w: World, journal: Journal) -> None:
    """Let the next write fail, and those after it work."""

    def fail() -> None:
        w.store.failing = StoreError("the disk is full")
        journal.when("chats.write", work)

    def work() -> None:
        w.store.failing = None

    journal.when("chats.write", fail)


async def run_loop() -> None:
    """Let the loop run until only a store could wake it."""
    for _ in range(200):
        await asyncio.sleep(0)


async def sequences(w: World) -> list[int | None]:
    """Return the sequences of the stored events, which are those that the bot got."""
    stored = [event.sequence for event in await w.store.events(w.session.record.uid, after=0)]
    assert stored == [event.sequence for event in w.published]
    return stored


async def test_delivery_and_the_reply_are_written_together_and_reported_in_order(w: World, journal: Journal) -> None:
    journal.steps.clear()
    go_on = journal.hold("chats.write")
    await confirm(w)
    w.channel.happens(message("hi"))
    await w.until(lambda: journal.steps.count("chats.write") == 2)
    assert len(w.published) == 2
    go_on.set()
    await w.event("agent_message")
    assert [kind for kind, _ in w.events[2:]] == ["message_delivered", "agent_message"]
    assert await sequences(w) == [1, 2, 3, 4]


async def test_steps_after_one_that_failed_are_written_after_it(w: World, journal: Journal) -> None:
    fail_next_write(w, journal)
    await confirm(w)
    for number in range(3):
        w.channel.happens(message(f"hi {number}", f"m{number}"))
    await w.event("agent_message", 3)
    assert [kind for kind, _ in w.events[2:]] == ["message_delivered", *["agent_message"] * 3]
    assert [payload["text"] for _, payload in w.events[3:]] == ["hi 0", "hi 1", "hi 2"]
    assert await sequences(w) == [1, 2, 3, 4, 5, 6]


async def test_event_is_never_stored_before_the_one_that_failed(w: World, journal: Journal) -> None:
    w.store.failing = StoreError("the disk is full")
    await confirm(w)
    w.channel.happens(message("hi"))
    await w.until(lambda: journal.steps.count("chats.write") > 8)
    fail_next_write(w, journal)
    w.store.failing = None
    await w.event("agent_message")
    written = [entry.sequence for change in w.store.changes for entry in change.entries if hasattr(entry, "sequence")]
    assert written == [1, 2, 3, 4]


async def test_step_that_can_never_be_stored_is_given_up_and_the_chat_goes_on(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    stored = asyncio.get_running_loop().create_future()
    w.channel.happens(h.AgentMessage("m1", "half \ud83d", NOW, stored=stored))
    w.channel.happens(h.AgentJoined(HumanAgent(id="half \ud83d")))
    w.channel.happens(h.ChannelStateChanged({"cursor": "\ud83d"}))
    w.channel.happens(message("whole", "m2"))
    await w.event("agent_message")
    await asyncio.wait_for(stored, 5)
    assert [payload.get("message_id") for kind, payload in w.events if kind == "agent_message"] == ["m2"]
    assert await sequences(w) == list(range(1, len(w.published) + 1))
    lost = [line.__dict__ for line in caplog.records if line.__dict__.get("event") == "chat_step_lost"]
    assert [(line["chat_id"], line["client"], line["project"]) for line in lost] == [("c1", CLIENT, PROJECT)] * 3
    relayed = [each for each in w.telemetry if isinstance(each, ChatMessageRelayed) and each.direction == "to_bot"]
    assert [each.status for each in relayed] == [DeliveryStatus.FAILED, DeliveryStatus.DELIVERED]


async def test_end_that_can_never_be_stored_is_one_by_a_fault(w: World) -> None:
    w.channel.happens(h.ContactClosed("half \ud83d"))
    record = await w.ended()
    assert (record.state, record.ended_by, record.reason) == ("ended", "bridge", "internal_error")
    assert w.events[-1] == ("chat_ended", {"by": "bridge", "reason": "internal_error"})


async def test_end_waits_for_steps_that_failed(w: World, journal: Journal) -> None:
    fail_next_write(w, journal)
    w.channel.happens(message("bye"))
    w.channel.happens(h.ContactClosed())
    await w.ended()
    kinds = [kind for kind, _ in w.events[2:]]
    assert kinds == ["agent_message", "message_failed", "chat_ended"]
    assert await sequences(w) == [1, 2, 3, 4, 5]


async def test_repeated_message_is_confirmed_once_the_first_is_stored(w: World, journal: Journal) -> None:
    go_on = journal.hold("chats.write")
    loop = asyncio.get_running_loop()
    first, again = loop.create_future(), loop.create_future()
    for stored in (first, again):
        w.channel.happens(h.AgentMessage("m1", "hi", message("hi").at, stored=stored))
    await run_loop()
    assert not first.done()
    assert not again.done()
    go_on.set()
    await asyncio.gather(first, again)
    assert [kind for kind, _ in w.events].count("agent_message") == 1


async def test_next_run_goes_on_without_a_gap_after_steps_that_failed(w: World) -> None:
    w.store.failing = StoreError("the disk is full")
    await confirm(w)
    w.channel.happens(message("hi"))
    await asyncio.sleep(0.03)
    await w.reception.suspend()
    w.store.failing = None
    async with world(w.store) as second:
        second.channel.fates["hello"] = asyncio.get_running_loop().create_future()
        await second.reception.recover()
        second.channel.happens(message("hi"))
        await second.event("agent_message")
        assert [event.sequence for event in second.published] == [3]


async def test_few_steps_are_stored_at_once(w: World, journal: Journal) -> None:
    journal.steps.clear()
    go_on = journal.hold("chats.write")
    for number in range(h.FULL + _MAX_STEPS):
        w.channel.happens(message(f"hi {number}", f"m{number}"))
    await run_loop()
    assert journal.steps.count("chats.write") == _MAX_STEPS
    assert w.session.throttled == [True]
    go_on.set()
    await w.event("agent_message", h.FULL + _MAX_STEPS)
    assert w.session.throttled == [True, False]


class ManualStore(FakeChatStore):
    """A store whose writes the test completes itself. `writes` has the step of each, and its future."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[int | None, asyncio.Future[None]]] = []

    def write(self, change: ChatChange) -> asyncio.Future[None]:
        if (refusal := refusal_of(change)) is not None:
            return refusal
        writing = asyncio.get_running_loop().create_future()
        self.writes.append((change.step, writing))
        return writing

    def fail(self, index: int) -> None:
        self.writes[index][1].set_exception(StoreError("the disk is full"))


async def test_effect_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store, effects = ManualStore(), list[str]()
    steps = Steps(make_chat(), store, lambda _: None)
    steps.add([], None, lambda: effects.append(str(1 / 0)))
    steps.add([], None, lambda: effects.append("second"))
    settling = asyncio.create_task(steps.settled())
    await run_loop()
    for _, writing in reversed(store.writes):
        writing.set_result(None)
    await asyncio.wait_for(settling, 5)
    assert effects == ["second"]
    assert "ZeroDivisionError" in caplog.text


async def test_step_that_can_never_be_stored_is_given_up_while_the_store_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sipbridge.chats.steps._RETRY_SECONDS", 0.0)
    store, effects = ManualStore(), list[str]()
    steps = Steps(make_chat(), store, lambda _: None)
    assert steps.add([], None, lambda: effects.append("first"))
    store.fail(0)
    await asyncio.sleep(0)
    assert not steps.add([], make_chat(channel_state={"cursor": "\ud83d"}), lambda: effects.append("never"))
    assert steps.add([], None, lambda: effects.append("second"))
    store.fail(1)
    settling = asyncio.create_task(steps.settled())
    await run_loop()
    assert [step for step, _ in store.writes] == [1, 2, 1, 2]
    for _, writing in store.writes[2:]:
        writing.set_result(None)
    await asyncio.wait_for(settling, 5)
    assert effects == ["first", "second"]


async def test_late_refusal_of_a_step_that_is_being_written_again_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sipbridge.chats.steps._RETRY_SECONDS", 0.0)
    store, effects, failures = ManualStore(), list[str](), list[h.StepFailed]()
    steps = Steps(make_chat(), store, failures.append)
    steps.add([], None, lambda: effects.append("first"))
    steps.add([], None, lambda: effects.append("second"))
    store.fail(0)
    await asyncio.sleep(0)
    assert len(failures) == 1
    steps.add([], None, lambda: effects.append("third"))
    assert [step for step, _ in store.writes] == [1, 2, 3]
    settling = asyncio.create_task(steps.settled())
    await run_loop()
    store.fail(1)
    store.fail(2)
    await run_loop()
    assert [step for step, _ in store.writes] == [1, 2, 3, 1, 2, 3]
    assert not effects
    for _, writing in store.writes[3:]:
        writing.set_result(None)
    await settling
    assert effects == ["first", "second", "third"]
    assert len(failures) == 1
