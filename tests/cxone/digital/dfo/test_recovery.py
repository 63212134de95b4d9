"""Lost connections, lost replies and a REST API that fails, in one chat over the gateway."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sipbridge.chats.happenings import AgentJoined, AgentLeft, AgentMessage
from sipbridge.chats.model import Attachment
from sipbridge.chats.ports import Outgoing
from sipbridge.cxone.digital.dfo.rest import ChannelInfo
from tests.cxone.digital.dfo.scripted_gateway import CONTACT, Gateway, Run, a_message, record, running

LIVECHAT = ChannelInfo(livechat=True)
DELIVERED = ("delivered", "")
MISSING = Attachment(url="https://files.example.com/missing")
OWN = {"id": "s0", "direction": "inbound", "idOnExternalPlatform": "own-1"}
LARGE: dict[str, Any] = {"s3Object": {"url": "https://s3.example.com/1"}}
SESSION = "sipbridge.cxone.digital.dfo.session"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_SECONDS", "MAX_PAUSE_SECONDS"):
        monkeypatch.setattr(f"{SESSION}.{name}", 0.005)


def texts(run: Run) -> list[str]:
    return [each.text for each in run.of(AgentMessage)]


class TestRepeatedMessage:
    async def test_first_message_that_arrived_before_a_restart_counts_although_the_channel_is_offline_now(self) -> None:
        async with running(Gateway(LIVECHAT, thread=[OWN], online="offline"), resumed=True) as run:
            assert await run.send("hi", opens=True, repeated=True) == DELIVERED
            assert "SendMessage" not in run.gateway.types

    async def test_message_that_arrived_before_a_restart_counts_although_its_attachment_has_expired(self) -> None:
        async with running(Gateway(thread=[OWN]), resumed=True) as run:
            assert await run.send("hi", attachments=[MISSING], repeated=True) == DELIVERED

    async def test_attachment_that_cannot_be_fetched_fails_the_message(self) -> None:
        async with running() as run:
            assert await run.send("hi", attachments=[MISSING]) == ("failed", "attachment_unavailable")


async def test_nothing_is_sent_again_while_a_thread_that_exists_is_not_recovered() -> None:
    async with running() as run:
        await run.send("first", 1, opens=True)
        run.gateway.script["SendMessage"].append("drop_recorded")
        run.gateway.script["RecoverThread"].extend(["error RecoveringThreadFailed"] * 3)
        assert await run.send("second", 2) == DELIVERED
        assert run.gateway.sent_texts() == ["first", "second"]


class TestContentThatIsFetched:
    async def test_event_that_could_not_be_fetched_is_recovered_in_its_order(self) -> None:
        async with running() as run:
            await run.send("hi", opens=True)
            run.gateway.say("large", push=False)
            run.gateway.push("EventInS3", **LARGE)
            run.gateway.say("next")
            await run.until(lambda: len(texts(run)) == 2)
            assert texts(run) == ["large", "next"]

    async def test_message_whose_body_was_not_fetched_once_comes_whole(self) -> None:
        async with running() as run:
            await run.send("hi", opens=True)
            run.gateway.say("beginn", hasAdditionalMessageContent=True)
            await run.until(lambda: run.faults)
            run.gateway.bodies["/messages/s1"] = a_message("s1", "beginning and end")
            await run.until(lambda: texts(run))
            assert texts(run) == ["beginning and end"]

    async def test_message_whose_body_is_never_fetched_comes_short_and_in_its_order(self) -> None:
        async with running() as run:
            await run.send("hi", opens=True)
            run.gateway.say("beginn", hasAdditionalMessageContent=True)
            run.gateway.say("next")
            await run.until(lambda: len(texts(run)) == 2)
            assert texts(run) == ["beginn", "next"]

    async def test_body_of_our_own_message_is_not_fetched(self) -> None:
        async with running() as run:
            await run.send("hi", opens=True)
            run.gateway.push("MessageCreated", message={**OWN, "hasAdditionalMessageContent": True})
            run.gateway.say("next")
            await run.until(lambda: texts(run))
            assert "GenerateAuthorizationToken" not in run.gateway.types


class TestSecuredSession:
    async def test_session_stays_secured_while_the_rest_api_fails(self) -> None:
        async with running(Gateway(ChannelInfo(livechat=False, secured=True))) as run:
            await run.connected()
            run.gateway.info_found = None
            run.gateway.drop()
            await run.connected(2)
            assert all("transactionToken=" in query for query in run.gateway.queries)
            assert not {"AuthorizeCustomer", "ReconnectConsumer"}.intersection(run.gateway.types)

    async def test_session_stays_secured_after_a_restart_while_the_rest_api_fails(self) -> None:
        chat = record(channel_state={"livechat": False, "secured": True})
        async with running(Gateway(None, thread=[OWN]), chat, resumed=True) as run:
            await run.connected()
            assert "transactionToken=" in run.gateway.queries[0]


async def test_agent_who_left_does_not_return_by_a_push_that_waited_on_the_lost_connection() -> None:
    async with running() as run:
        await run.send("hi", opens=True)
        run.gateway.push("EventInS3", **LARGE)
        run.gateway.push("CaseInboxAssigneeChanged", case={"id": CONTACT}, inboxAssignee={"id": 101})
        run.gateway.drop()
        await run.connected(2)
        assert run.of(AgentLeft)
        assert not run.of(AgentJoined)


async def test_connections_that_never_last_are_opened_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(f"{SESSION}.asyncio.sleep", note)
    monkeypatch.setattr(f"{SESSION}.FIRST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(f"{SESSION}.MAX_PAUSE_SECONDS", 30.0)
    async with running() as run:
        for number in range(1, 15):
            async with asyncio.timeout(5):
                while len(run.gateway.queries) < number or not run.session._connected.is_set():  # noqa: SLF001 (nothing else shows it)
                    await sleep(0)
            run.gateway.drop()
        assert max(pauses) > 5


async def test_livechat_whose_contact_is_not_known_yet_is_ended_too() -> None:
    async with running(Gateway(LIVECHAT)) as run:
        await run.send("hi", opens=True)
        async with asyncio.timeout(5):
            await run.session.end("bye")
        ends = [frame for frame in run.gateway.frames if frame["payload"]["eventType"] == "EndContact"]
        assert [frame["payload"]["data"]["contact"]["id"] for frame in ends] == [CONTACT]


async def test_recovery_goes_back_to_the_last_one_whatever_was_pushed_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SESSION}.REPLY_SECONDS", 0.1)
    async with running(Gateway(page_size=2)) as run:
        await run.send("first", 1, opens=True)
        run.gateway.script["SendMessage"].append("lose")
        sending = asyncio.create_task(run.send("second", 2))
        await run.until(lambda: len(run.gateway.thread) == 2)
        run.gateway.say("not pushed", push=False)
        for number in range(4):
            run.gateway.say(f"pushed {number}")
        assert await sending == DELIVERED
        assert run.gateway.sent_texts().count("second") == 1
        assert "not pushed" in texts(run)


async def test_throttled_session_reads_nothing_more_until_it_goes_on() -> None:
    async with running() as run:
        await run.connected()
        run.session.throttle(True)  # noqa: FBT003 (its one argument)
        assert not run.gateway.is_read
        run.gateway.drop()
        await run.connected(2)
        assert not run.gateway.is_read, "the next connection, once it has recovered"
        run.session.throttle(False)  # noqa: FBT003 (its one argument)
        assert run.gateway.is_read


class TestRestart:
    """The first recovery of a run reads no more of the thread than it needs."""

    @pytest.mark.parametrize(
        ("missed", "pages"),
        [
            (0, 0),  # the page that comes with the state of the thread
            (1, 1),
            (4, 2),
        ],
    )
    async def test_recovery_ends_at_the_first_page_that_the_bot_has(self, missed: int, pages: int) -> None:
        gateway = Gateway(page_size=2)
        for number in range(20 + missed):
            gateway.thread.append(a_message(f"s{number}", f"text {number}"))
        async with running(gateway, resumed=True, known=[f"s{number}" for number in range(20)]) as run:
            await run.connected()
            assert texts(run) == [f"text {number}" for number in range(20, 20 + missed)]
            assert gateway.types.count("LoadMoreMessages") == pages

    async def test_page_with_one_unknown_message_is_not_the_end(self) -> None:
        gateway = Gateway(page_size=2)
        for number in range(10):
            gateway.thread.append(a_message(f"s{number}", f"text {number}"))
        known = [f"s{number}" for number in range(10) if number not in (6, 8)]
        async with running(gateway, resumed=True, known=known) as run:
            await run.connected()
            assert texts(run) == ["text 6", "text 8"]

    async def test_page_without_a_message_of_the_human_agent_is_not_the_end(self) -> None:
        own = [
            {"id": f"c{number}", "direction": "inbound", "idOnExternalPlatform": f"own-{number}"} for number in (1, 2)
        ]
        gateway = Gateway(page_size=2, thread=[a_message("s1", "missed"), *own])
        async with running(gateway, resumed=True) as run:
            await run.connected()
            assert texts(run) == ["missed"]

    async def test_message_that_may_have_been_sent_is_looked_for_in_the_whole_thread(self) -> None:
        thread = [OWN, *(a_message(f"s{number}", "text") for number in range(1, 9))]
        known = [f"s{number}" for number in range(1, 9)]
        async with running(Gateway(page_size=2, thread=thread), resumed=True, known=known) as run:
            await run.connected()
            assert run.session.may_have(Outgoing("own-1", "hi", repeated=True))
            assert await run.send("hi", 1, repeated=True) == DELIVERED
            assert await run.send("not sent before", 2, repeated=True) == DELIVERED
            assert run.gateway.types.count("SendMessage") == 1
            assert run.gateway.types.count("RecoverThread") == 2
            assert texts(run) == []

    async def test_message_that_is_not_in_what_can_be_read_of_a_long_thread_is_in_doubt(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sipbridge.cxone.digital.dfo.recovery.MAX_PAGES", 2)
        own = [{**OWN, "idOnExternalPlatform": f"own-{number}"} for number in (1, 2)]
        answers = [a_message(f"s{number}", "text") for number in range(1, 7)]
        gateway = Gateway(page_size=2, thread=[own[0], *answers, own[1], a_message("s7", "text")])
        async with running(gateway, resumed=True, known=[f"s{number}" for number in range(1, 8)]) as run:
            async with asyncio.timeout(5):
                assert await run.send("hi", 1, repeated=True) == ("unknown", "thread_too_long")
            assert run.session.may_have(Outgoing("own-1", "hi", repeated=True))
            assert await run.send("still there?", 2, repeated=True) == DELIVERED
            assert await run.send("lost", 3, repeated=True) == ("unknown", "thread_too_long")
            assert gateway.types.count("RecoverThread") == 2, "one at the start, one for all messages"
            assert await run.send("new", 4) == DELIVERED
            assert gateway.types.count("SendMessage") == 1
            pages = gateway.types.count("LoadMoreMessages")
            gateway.drop()
            await run.connected(2)
            assert gateway.types.count("LoadMoreMessages") == pages, "the next recovery reads no more than it needs"

    async def test_thread_is_looked_through_again_if_the_connection_ends_meanwhile(self) -> None:
        thread = [OWN, *(a_message(f"s{number}", "text") for number in range(1, 9))]
        gateway = Gateway(page_size=2, thread=thread)
        async with running(gateway, resumed=True, known=[f"s{number}" for number in range(1, 9)]) as run:
            await run.connected()
            gateway.script["LoadMoreMessages"].append("drop")
            assert await run.send("hi", 1, repeated=True) == DELIVERED
            assert "SendMessage" not in gateway.types

    async def test_chats_that_recover_at_once_are_limited_and_a_new_one_does_not_wait(self) -> None:
        recoveries = asyncio.Semaphore(1)
        slow = Gateway()
        slow.script["RecoverThread"].append("lose")
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(running(slow, resumed=True, recoveries=recoveries))
            await first.until(lambda: "RecoverThread" in slow.types)
            second = await stack.enter_async_context(running(Gateway(), resumed=True, recoveries=recoveries))
            new = await stack.enter_async_context(running(Gateway(), recoveries=recoveries))
            await new.connected()
            assert second.gateway.queries == []
            slow.drop()
            await second.connected()
            await first.connected()


class TestMessageInDoubt:
    """If a chat ends before a message is handed over, the session knows if CXone may have it."""

    async def waiting(self, run: Run, message: Outgoing) -> bool:
        """Let a message wait a moment; return True if CXone may have it."""
        sending = asyncio.create_task(run.session.send(message))
        await asyncio.sleep(0.02)
        assert not sending.done()
        in_doubt = run.session.may_have(message)
        sending.cancel()
        return in_doubt

    async def test_message_that_waits_for_a_connection_was_not_sent(self) -> None:
        async with running(Gateway(is_down=True)) as run:
            assert not await self.waiting(run, Outgoing("own-1", "hi"))

    async def test_message_without_an_acknowledgement_may_have_arrived(self) -> None:
        async with running() as run:
            await run.send("first", 1, opens=True)
            run.gateway.script["SendMessage"].append("lose")
            assert await self.waiting(run, Outgoing("own-2", "hi"))

    async def test_message_whose_connection_was_cut_may_have_arrived(self) -> None:
        async with running() as run:
            await run.send("first", 1, opens=True)
            run.gateway.script["SendMessage"].append("drop")
            run.gateway.is_down = True
            assert await self.waiting(run, Outgoing("own-2", "hi"))

    async def test_message_of_an_earlier_run_may_have_arrived_until_the_thread_is_recovered(self) -> None:
        message = Outgoing("own-2", "hi", repeated=True)
        gateway = Gateway(thread=[OWN], is_down=True)
        async with running(gateway, resumed=True) as run:
            assert await self.waiting(run, message)
            gateway.is_down = False
            await run.connected()
            assert not run.session.may_have(message)
            assert run.session.may_have(Outgoing("own-1", "first", repeated=True))
