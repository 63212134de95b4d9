"""A run of the program ends, however, and the next one goes on with its chats."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.model import ChatRecord, EndRequest, HumanAgent
from sipbridge.errors import ChatConflict, ChatsUnavailable, HandoffInvalid
from tests.chats.world import CLIENT, PROJECT, world

ANNA = HumanAgent(id="7")
NOW = datetime.now(UTC)


async def test_chat_goes_on_where_it_was() -> None:
    async with world() as first:
        record = await first.start()
        await first.event("handoff_accepted")
        first.channel.happens(h.AgentJoined(ANNA))
        first.channel.happens(h.AgentMessage("m1", "hi", NOW))
        await first.event("agent_message")
    async with world(first.store) as second:
        await second.reception.recover()
        assert second.session.resumed
        assert second.session.record.uid == record.uid
        second.channel.happens(h.AgentJoined(ANNA))
        second.channel.happens(h.AgentMessage("m1", "hi", NOW))
        second.channel.happens(h.AgentMessage("m2", "are you there?", NOW))
        await second.event("agent_message")
        assert second.events == [("agent_message", {"message_id": "m2", "text": "are you there?", "attachments": []})]
        assert second.published[0].sequence == first.published[-1].sequence + 1  # type: ignore[operator]


async def test_messages_whose_fate_is_not_known_are_handed_over_with_the_same_ids() -> None:
    async with world() as first:
        await first.start()
        await first.event("handoff_accepted")
        await first.say("one", "b1")
        await first.event("message_delivered")
        first.channel.fates["two"] = asyncio.get_running_loop().create_future()
        await first.say("two", "b2")
        await first.say("three", "b3")
        await first.until(lambda: first.session.texts[1:] == ["one"])
    async with world(first.store) as second:
        await second.reception.recover()
        await second.event("message_delivered", 2)
        assert second.session.texts == ["two", "three"]
        assert [sent.id for sent in second.session.sent] == [
            second.live.record.derived_id("message b2 0"),
            second.live.record.derived_id("message b3 0"),
        ]


async def test_each_message_that_an_earlier_run_may_have_sent_is_in_doubt_until_it_is_handed_over() -> None:
    async with world() as first:
        await first.start()
        await first.event("handoff_accepted")
        first.channel.fates["one"] = asyncio.get_running_loop().create_future()
        await first.say("one", "b1")
        await first.say("two", "b2")
    async with world(first.store) as second:
        second.channel.fates["one"] = asyncio.get_running_loop().create_future()
        second.channel.unsent.add("one")
        await second.reception.recover()
        await second.say("three", "b3")
        second.channel.happens(h.ContactClosed())
        await second.ended()
        fates = [(each["id"], each["delivery"]) for kind, each in second.events if kind == "message_failed"]
        assert fates == [("b1", "unknown"), ("b2", "unknown"), ("b3", "failed")]


async def test_first_message_is_handed_over_again_only_if_its_fate_is_not_known() -> None:
    async with world() as first:
        first.channel.fates["Chat handed over by the bot."] = asyncio.get_running_loop().create_future()
        await first.start()
        await asyncio.sleep(0)
    async with world(first.store) as second:
        await second.reception.recover()
        await second.event("handoff_accepted")
        assert second.session.texts == ["Chat handed over by the bot."]
    async with world(first.store) as third:
        await third.reception.recover()
        await third.say("hello", "b1")
        await third.event("message_delivered")
        assert third.session.texts == ["hello"]


async def test_end_that_was_requested_is_not_forgotten() -> None:
    async with world() as first:
        await first.start()
        await first.event("handoff_accepted")
        first.channel.fates["wait"] = asyncio.get_running_loop().create_future()
        await first.say("wait", "b1")
        await first.live.request_end(EndRequest(by="bot", reason="done", at=NOW))
    async with world(first.store) as second:
        await second.reception.recover()
        record = await second.ended()
        assert record.ended_by == "bot"
        assert second.session.texts == ["wait"]
        assert second.events[-1] == ("chat_ended", {"by": "bot", "reason": "done"})


async def test_agent_who_joined_while_the_bridge_was_down_is_found_before_a_time_limit_counts() -> None:
    async with world(queue_timeout_seconds=0.05) as first:
        await first.start()
        await first.event("handoff_accepted")
    await asyncio.sleep(0.1)
    async with world(first.store, queue_timeout_seconds=0.05) as second:
        await second.reception.recover()
        await asyncio.sleep(0.05)
        second.channel.happens(h.AgentJoined(ANNA))
        second.channel.happens(h.AgentMessage("m1", "hi", NOW))
        await second.event("agent_message")
        assert (await second.record()).state == "active"


async def test_restart_does_not_extend_the_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.chats.time_limits.RECOVERY_SECONDS", 0.01)
    async with world(queue_timeout_seconds=0.2) as first:
        await first.start()
        await first.event("handoff_accepted")
        await asyncio.sleep(0.15)
    async with world(first.store, queue_timeout_seconds=0.2) as second:
        started = asyncio.get_running_loop().time()
        await second.reception.recover()
        assert (await second.ended()).state == "timed_out"
        assert asyncio.get_running_loop().time() - started < 0.15


async def test_chat_whose_channel_is_not_configured_any_more_ends() -> None:
    async with world() as first:
        await first.start()
        await first.event("handoff_accepted")
    async with world(first.store) as second:
        second.context.channels.clear()  # type: ignore[attr-defined]
        await second.reception.recover()
        record = await second.ended()
        assert (record.state, record.ended_by, record.reason) == ("failed", "bridge", "not_configured")
        assert second.events == [("handoff_failed", {"reason": "not_configured"})]


async def test_ended_chat_is_not_resumed() -> None:
    async with world() as first:
        await first.start()
        await first.event("handoff_accepted")
        first.channel.happens(h.ContactClosed())
        await first.ended()
    async with world(first.store) as second:
        await second.reception.recover()
        assert second.reception.active == 0


async def test_chat_that_starts_during_the_recovery_is_not_resumed_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        create, created = w.store.create, asyncio.Event()

        async def create_slowly(record: ChatRecord) -> ChatRecord:
            found = await create(record)
            created.set()
            await asyncio.sleep(0.01)  # the store's response reaches the request after the recovery has read the chat
            return found

        monkeypatch.setattr(w.store, "create", create_slowly)
        starting = asyncio.create_task(w.start())
        await created.wait()
        await w.reception.recover()
        await starting
        assert w.reception.active == 1
        assert len(w.channel.sessions) == 1


class TestStart:
    async def test_same_request_again_gives_the_same_chat(self) -> None:
        async with world() as w:
            first = await w.start(reason="orders")
            again = await w.start(reason="orders")
            assert again.uid == first.uid
            assert w.reception.active == 1

    async def test_same_request_at_the_same_time_starts_one_chat(self) -> None:
        async with world() as w:
            records = await asyncio.gather(*(w.start(reason="orders") for _ in range(5)))
            assert len({record.uid for record in records}) == 1
            assert w.reception.active == 1

    async def test_other_request_with_the_same_id_is_refused(self) -> None:
        async with world() as w:
            await w.start(reason="orders")
            with pytest.raises(ChatConflict):
                await w.start(reason="returns")

    async def test_same_request_after_the_end_gives_the_ended_chat(self) -> None:
        async with world() as w:
            await w.start()
            await w.event("handoff_accepted")
            w.channel.happens(h.ContactClosed())
            await w.ended()
            assert (await w.start()).state == "failed"

    @pytest.mark.parametrize("change", ["full", "draining", "another channel"])
    async def test_same_request_after_the_end_gives_the_ended_chat_whatever_has_changed(self, change: str) -> None:
        async with world() as w:
            await w.start(channel="web")
            await w.event("handoff_accepted")
            w.channel.happens(h.ContactClosed())
            await w.ended()
            if change == "full":
                for number in range(3):
                    await w.start(id=f"other-{number}")
            elif change == "draining":
                w.reception.drain()
            else:
                project = w.context.config.find_project(CLIENT, PROJECT)
                assert project is not None
                assert project.chat is not None
                project.chat.channels["new"] = project.chat.channels.pop("web")
            assert (await w.start(channel="web")).state == "failed"
            with pytest.raises(ChatConflict):
                await w.start(channel="web", reason="another conversation")
            with pytest.raises((ChatsUnavailable, HandoffInvalid)):
                await w.start(id="new", channel="web")

    async def test_more_chats_than_the_limit_are_refused(self) -> None:
        async with world() as w:
            for number in range(3):
                await w.start(id=f"c{number}")
            with pytest.raises(ChatsUnavailable):
                await w.start(id="c3")
            assert (await w.start(id="c2")).chat_id == "c2"

    async def test_no_chat_starts_while_the_bridge_stops(self) -> None:
        async with world() as w:
            await w.reception.suspend()
            with pytest.raises(ChatsUnavailable):
                await w.start()

    async def test_chat_is_found_as_soon_as_it_was_started(self) -> None:
        async with world() as w:
            await w.start(shared_id="crm-1")
            assert w.context.registry.find(CLIENT, PROJECT, "c1") is w.live
            assert w.context.registry.find_shared(CLIENT, PROJECT, "crm-1") is w.live


async def test_interrupted_chat_is_not_over() -> None:
    async with world() as w:
        await w.start()
        await w.event("handoff_accepted")
        await w.reception.suspend()
        assert (await w.record()).state == "queued"
        assert w.session.ended_with is None
        assert not w.session.running


async def test_drain_takes_no_new_chats_and_lets_those_in_progress_go_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with world() as one:
        await one.start()
        await one.event("handoff_accepted")
        one.reception.drain()
        with pytest.raises(ChatsUnavailable, match="draining"):
            await one.start(id="c2")
        assert (await one.start()).chat_id == "c1", "the same request again gets the same response"
        one.channel.happens(h.AgentJoined(ANNA))
        await one.event("agent_joined")
        await one.reception.suspend()
        assert not one.reception.active
    [line] = [each for each in caplog.records if getattr(each, "event", "") == "chats_suspended"]
    assert line.getMessage() == "1 chat suspended until the next start"
    async with world(one.store) as second:
        await second.reception.recover()
        assert second.reception.active == 1


async def test_chats_that_were_not_resumed_before_a_stop_wait_for_the_next_start() -> None:
    async with world() as first:
        await first.start()
        await first.event("handoff_accepted")
    async with world(first.store) as second:
        recovering = asyncio.create_task(second.reception.recover())
        await second.reception.suspend()
        await recovering
        assert not second.reception.active
        assert not second.reception.recovered


async def test_a_released_chat_gives_the_bot_nothing_more_and_goes_on_elsewhere() -> None:
    async with world() as first:
        record = await first.start()
        await first.event("handoff_accepted")
        first.channel.happens(h.AgentJoined(ANNA))
        first.channel.happens(h.AgentMessage("m1", "hi", NOW))
        assert [each.uid for each in await first.reception.release()] == [record.uid]
        published = len(first.published)
        assert first.reception.active == 0
        assert not first.session.running
        assert first.context.registry.find(CLIENT, PROJECT, "c1") is None
        assert not (await first.record()).state.is_final
        await asyncio.sleep(0)
        assert len(first.published) == published
    async with world(first.store) as second:
        await second.reception.resume()
        assert second.session.resumed


async def test_a_chat_that_is_stored_while_all_are_released_does_not_begin_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        create, storing, may_store = w.store.create, asyncio.Event(), asyncio.Event()

        async def create_later(record: ChatRecord) -> ChatRecord:
            storing.set()
            await may_store.wait()
            return await create(record)

        monkeypatch.setattr(w.store, "create", create_later)
        starting = asyncio.create_task(w.start())
        await storing.wait()
        assert w.reception.slots == 2
        [released] = await w.reception.release()
        may_store.set()
        assert (await starting).uid == released.uid
        assert w.reception.active == 0
        await w.reception.resume()
        assert w.reception.active == 1, "if it is this node's again, it goes on"


async def test_resume_leaves_the_chats_in_progress_alone() -> None:
    async with world() as w:
        await w.start()
        await w.event("handoff_accepted")
        await w.reception.resume()
        assert (w.reception.active, len(w.channel.sessions)) == (1, 1)
