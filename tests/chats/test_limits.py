"""The limits of bots, and their disconnection, which changes nothing that was stored."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from sipbridge.chats import chat as chat_module
from sipbridge.chats import happenings as h
from sipbridge.chats.model import BotMessage, EndRequest
from sipbridge.errors import ChatConflict, ChatsUnavailable
from tests.chats.world import world
from tests.fakes.chat_store import FakeChatStore
from tests.fakes.journal import Journal

NOW = datetime.now(UTC)


class TestDisconnectedBot:
    """A stored request is carried out, even if the bot does not wait for the response."""

    async def test_chat_runs(self) -> None:
        journal = Journal()
        stored = journal.hold("chats.create")
        async with world(FakeChatStore(journal)) as w:
            request = asyncio.create_task(w.start())
            await journal.until("chats.create")
            request.cancel()
            stored.set()
            await w.event("handoff_accepted")

    async def test_chat_ends(self) -> None:
        journal = Journal()
        async with world(FakeChatStore(journal)) as w:
            await w.start()
            await w.event("handoff_accepted")
            journal.steps.clear()
            stored = journal.hold("chats.write")
            request = asyncio.create_task(w.live.request_end(EndRequest(at=NOW)))
            await journal.until("chats.write")
            request.cancel()
            stored.set()
            await w.event("chat_ended")

    async def test_stop_waits_for_a_chat_that_is_being_stored_and_the_next_start_runs_it(self) -> None:
        journal = Journal()
        stored = journal.hold("chats.create")
        async with world(FakeChatStore(journal)) as first:
            request = asyncio.create_task(first.start())
            await journal.until("chats.create")
            stop = asyncio.create_task(first.reception.suspend())
            await asyncio.sleep(0)
            stored.set()
            await asyncio.gather(stop, request)
            assert not first.reception.active
        async with world(first.store) as second:
            await second.reception.recover()
            await second.event("handoff_accepted")


class TestLimits:
    async def test_starts_at_the_same_time_do_not_exceed_max_chats(self) -> None:
        journal = Journal()
        stored = journal.hold("chats.create")
        async with world(FakeChatStore(journal)) as w:
            starts = [asyncio.create_task(w.start(id=f"c{n}")) for n in range(10)]
            await journal.until("chats.create")
            stored.set()
            results = await asyncio.gather(*starts, return_exceptions=True)
            assert len([each for each in results if isinstance(each, ChatsUnavailable)]) == 10 - 3
            assert w.reception.active == 3

    async def test_messages_that_cannot_be_handed_over_are_refused_beyond_a_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chat_module, "MAX_WAITING", 5)
        async with world() as w:
            await w.start()
            await w.event("handoff_accepted")
            connected = w.channel.fates["x"] = asyncio.get_running_loop().create_future()
            for number in range(5):
                await w.live.accept_message(BotMessage(id=f"m{number}", text="x", at=NOW))
            with pytest.raises(ChatsUnavailable, match="5 messages of this chat wait"):
                await w.live.accept_message(BotMessage(id="m5", text="x", at=NOW))
            await w.live.accept_message(BotMessage(id="m4", text="x", at=NOW))
            connected.set_result(None)
            await w.event("message_delivered", count=5)
            await w.live.accept_message(BotMessage(id="m5", text="x", at=NOW))

    async def test_chat_has_at_most_so_many_messages_of_the_bot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chat_module, "MAX_MESSAGES", 2)
        async with world() as w:
            await w.start()
            for number in range(2):
                await w.live.accept_message(BotMessage(id=f"m{number}", text="x", at=NOW))
            with pytest.raises(ChatConflict, match="has 2 messages"):
                await w.live.accept_message(BotMessage(id="m2", text="x", at=NOW))


class TestFullInbox:
    """A flood takes a limited amount of memory, and loses no message."""

    @pytest.fixture
    async def inbox(self) -> h.Inbox:
        inbox = h.Inbox()
        self.throttled: list[bool] = []
        inbox.throttle = self.throttled.append
        return inbox

    async def test_channel_is_throttled_until_half_is_handled(self, inbox: h.Inbox) -> None:
        for number in range(h.FULL + 50):
            inbox.put(h.AgentMessage(f"m{number}", "flood", NOW))
        assert self.throttled == [True]
        for number in range(h.FULL + 50):
            assert await inbox.next() == h.AgentMessage(f"m{number}", "flood", NOW)
            assert self.throttled == ([True] if number < h.FULL // 2 + 49 else [True, False])

    async def test_channel_goes_on_when_all_is_taken_at_once(self, inbox: h.Inbox) -> None:
        for _ in range(h.FULL):
            inbox.put(h.AgentLeft())
        assert len(inbox.drain()) == h.FULL
        assert self.throttled == [True, False]

    async def test_typing_is_dropped_while_the_inbox_is_full(self, inbox: h.Inbox) -> None:
        for _ in range(h.FULL * 3):
            inbox.put(h.AgentTyping(on=True))
        inbox.put(h.AgentMessage("m1", "hi", NOW))
        assert inbox.drain()[-1] == h.AgentMessage("m1", "hi", NOW)
        inbox.put(h.AgentTyping(on=False))
        assert inbox.drain() == [h.AgentTyping(on=False)]

    async def test_deadline_may_be_set_while_the_reader_waits(self, inbox: h.Inbox) -> None:
        inbox.set_deadline(h.Deadline.EXPIRY, 60.0)
        reading = asyncio.create_task(inbox.next())
        await asyncio.sleep(0)
        inbox.set_deadline(h.Deadline.INACTIVITY, 0.01)
        async with asyncio.timeout(10):
            assert await reading == h.DeadlinePassed(h.Deadline.INACTIVITY)

    async def test_chat_throttles_its_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(h, "FULL", 4)
        async with world() as w:
            await w.start()
            await w.event("handoff_accepted")
            for number in range(10):
                w.channel.happens(h.AgentMessage(f"m{number}", "flood", NOW))
            assert w.session.throttled == [True]
            await w.event("agent_message", 10)
            assert w.session.throttled == [True, False]
