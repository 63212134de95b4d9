"""Requests that overlap with each other, with a failing store, with the end, or with the start of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.model import EndRequest, HumanAgent
from sipbridge.chats.ports import StoredChat
from sipbridge.chats.request import ChatRequest
from sipbridge.errors import ChatsUnavailable, StoreError
from sipbridge.handoffs.record import HandoffState
from tests.chats.world import CLIENT, PROJECT, World, world
from tests.fakes.chat_store import FakeChatStore
from tests.fakes.journal import Journal

ANNA = HumanAgent(id="7")
NOW = datetime.now(UTC)


async def queued(w: World) -> None:
    await w.start()
    await w.event("handoff_accepted")


def hold(journal: Journal, step: str) -> asyncio.Event:
    """Keep the next step of this kind from ending until the event is set."""
    journal.steps.clear()
    return journal.hold(step)


class TestStart:
    async def test_chat_runs_although_the_bot_disconnected_before_it_was_stored(self) -> None:
        journal = Journal()
        async with world(FakeChatStore(journal)) as w:
            go_on = hold(journal, "chats.create")
            request = asyncio.create_task(w.start())
            await journal.until("chats.create")
            request.cancel()
            await asyncio.sleep(0)
            go_on.set()
            await w.event("handoff_accepted")
            assert (await w.start()).uid == w.live.record.uid

    async def test_chat_that_ended_during_the_recovery_does_not_run_again(self) -> None:
        async with world() as w:
            unfinished, has_read, go_on = w.store.unfinished, asyncio.Event(), asyncio.Event()
            await queued(w)

            async def read_slowly(without: Collection[str] = ()) -> list[StoredChat]:
                found = await unfinished()
                has_read.set()
                await go_on.wait()
                return [chat for chat in found if chat.record.uid not in without]

            w.store.unfinished = read_slowly  # type: ignore[method-assign]
            recovery = asyncio.create_task(w.reception.recover())
            await has_read.wait()
            w.channel.happens(h.ContactClosed())
            await w.ended()
            go_on.set()
            await recovery
            assert w.reception.active == 0

    async def test_chats_that_start_at_the_same_time_count(self) -> None:
        journal = Journal()
        async with world(FakeChatStore(journal)) as w:
            go_on = hold(journal, "chats.create")
            starting = asyncio.gather(*(w.start(id=f"c{n}") for n in range(5)), return_exceptions=True)
            await journal.until("chats.create")
            go_on.set()
            assert sum(isinstance(each, ChatsUnavailable) for each in await starting) == 2
            assert w.reception.active == 3

    async def test_chat_is_not_stored_before_the_channels_are_there(self) -> None:
        async with world() as w:
            w.context.channels.clear()  # type: ignore[attr-defined]
            with pytest.raises(ChatsUnavailable, match="starting"):
                await w.start()
            assert not await w.store.unfinished()
            name, found = await w.reception.availability(CLIENT, PROJECT, None)
            assert (name, found.status, found.reason) == ("web", "unknown", "the bridge is starting")


class TestRecovery:
    async def test_recovery_that_failed_halfway_is_repeated_without_doubling(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sipbridge.chats.reception._RETRY_SECONDS", 0.01)
        monkeypatch.setattr("sipbridge.chats.steps._RETRY_SECONDS", 0.01)
        async with world(others={"sales": "key-of-sales-000001"}) as first:
            await first.start()
            await first.reception.start(CLIENT, "sales", ChatRequest(id="c1"))
            await first.event("handoff_accepted", 2)
        async with world(first.store, others={"sales": "key-of-sales-000001"}) as second:
            del second.context.channels[CLIENT, "sales", "web"]  # type: ignore[attr-defined]
            second.store.failing = StoreError("the disk is full")
            recovering = asyncio.create_task(second.reception.recover())
            await asyncio.sleep(0.03)
            second.store.failing = None
            await recovering
            assert len(second.channel.sessions) == 1
            await second.event("handoff_failed")

    async def test_chat_without_its_channel_leaves_nothing_open(self) -> None:
        async with world() as first:
            await queued(first)
            first.channel.fates["hello"] = asyncio.get_running_loop().create_future()
            await first.say("hello", "b1")
        async with world(first.store) as second:
            second.context.channels.clear()  # type: ignore[attr-defined]
            await second.reception.recover()
            record = await second.ended()
            assert record.handoff.state is HandoffState.FAILED
            assert second.events == [
                ("message_failed", {"id": "b1", "delivery": "unknown", "reason": "chat_ended"}),
                ("handoff_failed", {"reason": "not_configured"}),
            ]
            stored = await second.store.read(record.uid)
            assert stored is not None
            assert list(stored.deliveries) == ["b1"]
            assert [event.sequence for event in stored.events] == [1, 2, 3]


class TestEnd:
    async def test_end_is_requested_although_the_bot_disconnected_before_it_was_stored(self) -> None:
        journal = Journal()
        async with world(FakeChatStore(journal)) as w:
            await queued(w)
            go_on = hold(journal, "chats.write")
            request = asyncio.create_task(w.live.request_end(EndRequest(at=NOW)))
            await journal.until("chats.write")
            request.cancel()
            await asyncio.sleep(0)
            go_on.set()
            assert (await w.ended()).ended_by == "bot"

    async def test_second_request_waits_until_the_first_is_stored(self) -> None:
        journal = Journal()
        async with world(FakeChatStore(journal)) as w:
            await queued(w)
            w.store.failing = StoreError("the disk is full")
            go_on = hold(journal, "chats.write")
            requests = asyncio.gather(
                *(w.live.request_end(EndRequest(at=NOW)) for _ in range(2)), return_exceptions=True
            )
            await journal.until("chats.write")
            go_on.set()
            assert [type(result) for result in await requests] == [StoreError, StoreError]
            w.store.failing = None
            await w.live.request_end(EndRequest(at=NOW))
            assert (await w.ended()).ended_by == "bot"

    async def test_message_that_is_stored_while_the_chat_ends_has_a_fate(self) -> None:
        journal = Journal()
        async with world(FakeChatStore(journal)) as w:
            await queued(w)
            go_on = hold(journal, "chats.write")
            saying = asyncio.create_task(w.say("hello", "b1"))
            await journal.until("chats.write")
            w.channel.happens(h.ContactClosed())
            for _ in range(20):
                await asyncio.sleep(0)
            go_on.set()
            await saying
            record = await w.ended()
            stored = await w.store.read(record.uid)
            assert stored is not None
            assert list(stored.deliveries) == ["b1"]
            assert w.events[-1][0] == "handoff_failed"


async def test_record_shows_only_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.chats.steps._RETRY_SECONDS", 0.01)
    async with world() as w:
        await queued(w)
        w.store.failing = StoreError("the disk is full")
        w.channel.happens(h.AgentJoined(ANNA))
        await asyncio.sleep(0.03)
        assert w.live.record.state == "queued"
        w.store.failing = None
        await w.event("agent_joined")
        assert w.live.record.state == "active"
