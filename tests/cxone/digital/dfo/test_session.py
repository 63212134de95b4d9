"""One chat over the chat gateway: its messages, its recovery and its end."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats import happenings as h
from sipbridge.chats.delivery import Letter, Outbox
from sipbridge.chats.model import Attachment, DeliveryStatus, HumanAgent
from sipbridge.chats.ports import Outgoing
from sipbridge.cxone.digital.dfo import session
from sipbridge.cxone.digital.dfo.rest import ChannelInfo
from tests.cxone.digital.dfo.scripted_gateway import CONTACT, Gateway, record, running

AGENT = {"id": 101, "firstName": "Ada", "surname": "Low"}

pytestmark = pytest.mark.usefixtures("quick")


async def test_ids_are_the_same_in_each_run() -> None:
    frames = []
    for resumed in (False, True):
        async with running(resumed=resumed) as run:
            await run.connected()
            await run.send("Hello")
            frames.append(run.gateway.frames[-1]["payload"])
    for key in ("consumerIdentity", "visitor", "destination"):
        assert frames[0][key] == frames[1][key]
    assert frames[0]["data"]["thread"] == frames[1]["data"]["thread"]


async def test_thread_is_recovered_after_every_open_but_the_first() -> None:
    async with running() as run:
        await run.send("Hello", opens=True)
        for times in (2, 3):
            run.gateway.drop()
            await run.connected(times)
        assert run.gateway.types[2:] == ["ReconnectConsumer", "RecoverThread"] * 2


async def test_resumed_chat_reconnects_and_recovers() -> None:
    async with running(resumed=True) as run:
        await run.connected()
        assert run.gateway.types == ["ReconnectConsumer", "RecoverThread"]


@pytest.mark.parametrize("lost", ["drop", "drop_recorded", "lose"])
async def test_message_without_acknowledgement_is_in_the_thread_once(lost: str) -> None:
    async with running() as run:
        await run.send("first", opens=True)
        run.gateway.script["SendMessage"].append(lost)
        assert await run.send("Hello", 2) == ("delivered", "")
        assert run.gateway.sent_texts() == ["first", "Hello"]
        assert run.gateway.types.count("SendMessage") == (3 if lost == "drop" else 2)


async def test_message_that_the_thread_shows_needs_no_acknowledgement() -> None:
    async with running() as run:
        await run.send("first", opens=True)
        run.gateway.script["SendMessage"].append("lose")
        sending = asyncio.create_task(run.send("Hello", 2))
        await run.until(lambda: len(run.gateway.thread) == 2)
        run.gateway.push("MessageSent", message={"idOnExternalPlatform": "OWN-2"})
        assert await sending == ("delivered", "")
        assert len(run.gateway.queries) == 1


async def test_refused_message_is_not_sent_again() -> None:
    async with running() as run:
        run.gateway.script["SendMessage"].append("error SendingMessageFailed")
        assert await run.send("Hello") == ("failed", "refused")
        assert run.gateway.types.count("SendMessage") == 1
        assert run.faults == ["message_refused"]


async def test_first_message_that_did_not_arrive_is_sent_again() -> None:
    async with running() as run:
        run.gateway.script["SendMessage"].append("drop")
        run.gateway.script["RecoverThread"].append("error RecoveringThreadFailed")
        assert await run.send("Hello", opens=True) == ("delivered", "")
        assert run.gateway.sent_texts() == ["Hello"]


async def test_custom_fields_and_the_initial_mark_go_with_the_first_message_only() -> None:
    async with running() as run:
        await run.send("one", 1, opens=True)
        await run.send("two", 2)
        first, second = (frame["payload"]["data"] for frame in run.gateway.frames[1:])
        assert first["consumerContact"]["customFields"] == [{"ident": "reason", "value": "billing"}]
        assert first["messageContent"]["parameters"] == {"isInitialMessage": True}
        assert second["consumerContact"]["customFields"] == []
        assert "parameters" not in second["messageContent"]


async def test_missed_messages_are_reported_oldest_first_over_all_pages() -> None:
    async with running(Gateway(page_size=2)) as run:
        await run.send("Hello", opens=True)
        run.gateway.say("0")
        for number in range(1, 6):
            run.gateway.say(str(number), push=False)
        run.gateway.drop()
        await run.connected(2)
        assert [message.text for message in run.of(h.AgentMessage)] == [str(number) for number in range(6)]
        assert run.gateway.types.count("LoadMoreMessages") == 3  # all, since nothing was recovered before
        run.gateway.say("6", push=False)
        run.gateway.drop()
        await run.connected(3)
        assert run.of(h.AgentMessage)[-1].text == "6"
        assert run.gateway.types.count("LoadMoreMessages") == 3  # down to the last recovery


async def test_pages_end_where_the_gateway_has_no_more() -> None:
    gateway = Gateway(page_size=2)
    for number in range(5):
        gateway.thread.append({"id": str(number), "direction": "inbound", "idOnExternalPlatform": f"own-{number}"})
    async with running(gateway, resumed=True) as run:
        await run.connected()
        assert await run.send("again", 0) == ("delivered", "")  # it is on the last page
        assert len(gateway.thread) == 5


async def test_state_of_the_contact_is_restored() -> None:
    gateway = Gateway(assignee=AGENT)
    async with running(gateway, resumed=True) as run:
        await run.connected()
        assert run.of(h.AgentJoined) == [h.AgentJoined(HumanAgent(id="101", name="Ada Low"))]
        assert run.of(h.ChannelStateChanged)[-1].state["contact_id"] == CONTACT


async def test_nothing_is_sent_to_a_contact_that_was_closed_meanwhile() -> None:
    async with running(Gateway(status="closed"), resumed=True) as run:
        await run.connected()
        assert await run.send("Hello") == ("failed", "chat_ended")
        assert run.gateway.thread == []
        await run.until(lambda: run.of(h.ContactClosed))
        assert run.of(h.ContactClosed) == [h.ContactClosed()]
        await run.session.end("The chat has ended.")
        assert run.gateway.thread == []


async def test_messages_that_arrived_before_the_close_are_delivered_before_the_chat_ends() -> None:
    gateway = Gateway(status="closed")
    for number in (1, 2):
        gateway.thread.append({"id": f"s{number}", "direction": "inbound", "idOnExternalPlatform": f"own-{number}"})
    async with running(gateway, resumed=True) as run:
        outbox = Outbox(run.session, run.happened.append)  # type: ignore[arg-type]  # happenings of all kinds
        for number in (1, 2):
            outbox.put(Letter(f"m{number}", [Outgoing(f"own-{number}", "Hello", repeated=True)]))
        outbox.start()
        waiting: list[int] = []
        woken = asyncio.get_running_loop().create_future()
        woken.add_done_callback(lambda _: waiting.append(len(outbox)))  # as the chat is woken
        report = run.session._inbound._report  # noqa: SLF001 (the moment of the report is the test)

        def wake(happening: h.ChannelHappening) -> None:
            report(happening)
            if isinstance(happening, h.ContactClosed):
                woken.set_result(None)

        run.session._inbound._report = wake  # noqa: SLF001
        await run.until(lambda: waiting)
        assert waiting == [0]


@pytest.mark.parametrize("livechat", [True, False])
async def test_end_after_a_restart_waits_for_the_contact(livechat: bool) -> None:  # noqa: FBT001 (a parameter)
    gateway = Gateway(ChannelInfo(livechat=livechat), is_down=True)
    async with running(gateway, resumed=True) as run:
        ending = asyncio.create_task(run.session.end("The chat has ended."))
        await run.until(lambda: len(gateway.queries) > 1)
        gateway.is_down = False
        await ending
        assert gateway.types.count("EndContact") == (1 if livechat else 0)
        assert gateway.sent_texts() == ["The chat has ended."]


@pytest.mark.parametrize("livechat", [True, False])
@pytest.mark.parametrize("lost", ["lose", "drop", "drop_recorded"])
async def test_end_before_the_first_message_is_confirmed(lost: str, *, livechat: bool) -> None:
    gateway = Gateway(ChannelInfo(livechat=livechat))
    gateway.script["SendMessage"].append(lost)
    if lost == "drop":
        gateway.script[f"Recover{'Livechat' if livechat else 'Thread'}"].extend(
            [f"error Recovering{'Livechat' if livechat else 'Thread'}Failed"] * 2
        )
    async with running(gateway) as run:
        sending = asyncio.create_task(run.send("Hello", opens=True))
        await run.until(lambda: "SendMessage" in gateway.types)
        assert run.session.may_have(Outgoing("own-1", "Hello", opens=True))
        sending.cancel()
        await run.session.end("The chat has ended.")
        if lost == "drop":
            assert (gateway.sent_texts(), gateway.types.count("EndContact")) == ([], 0)
        else:
            assert gateway.sent_texts() == ["Hello", "The chat has ended."]
            assert gateway.types.count("EndContact") == (1 if livechat else 0)


async def test_lost_end_of_a_livechat_is_repeated() -> None:
    gateway = Gateway(ChannelInfo(livechat=True))
    gateway.script["EndContact"].append("drop")
    async with running(gateway, resumed=True) as run:
        await run.session.end("")
        assert gateway.types.count("EndContact") == 2


@pytest.mark.parametrize("script", [[], ["drop"], ["drop_recorded"]])
async def test_nothing_is_sent_behind_the_end_of_a_livechat(script: list[str]) -> None:
    gateway = Gateway(ChannelInfo(livechat=True), is_down=True)
    gateway.script["EndContact"].extend(script)
    async with running(gateway, resumed=True) as run:
        outbox = Outbox(run.session, run.happened.append)  # type: ignore[arg-type]  # happenings of all kinds
        for number in range(9):
            outbox.put(Letter(f"m{number}", [Outgoing(f"own-{number}", "Hello")]))
        outbox.start()
        ending = asyncio.create_task(run.session.end("The chat has ended."))
        await run.until(lambda: len(gateway.queries) > 1)
        gateway.is_down = False
        await ending
        await run.until(lambda: len(run.of(h.Delivered)) == 9)
        assert "SendMessage" not in gateway.types[gateway.types.index("EndContact") :]
        assert run.of(h.Delivered)[-1] == h.Delivered("m8", DeliveryStatus.FAILED, "chat_ended")


async def test_refused_end_is_a_fault_and_not_repeated() -> None:
    gateway = Gateway(ChannelInfo(livechat=True))
    gateway.script["EndContact"].append("error InconsistentData")
    async with running(gateway, resumed=True) as run:
        await run.session.end("")
        assert run.faults == ["end_refused"]


async def test_kind_of_a_chat_is_kept_and_not_guessed() -> None:
    gateway = Gateway(info_found=None)
    async with running(gateway) as run:
        await run.connected()
        assert run.of(h.ChannelStateChanged) == []
        gateway.info_found = ChannelInfo(livechat=True)
        gateway.drop()
        await run.connected(2)
        assert run.of(h.ChannelStateChanged)[-1].state["livechat"] is True
    state = run.of(h.ChannelStateChanged)[-1].state
    async with running(Gateway(), record(channel_state=dict(state)), resumed=True) as run:
        await run.connected()
        assert run.gateway.types[-1] == "RecoverLivechat"


async def test_channel_that_cxone_never_knew_fails_the_chat() -> None:
    async with running(Gateway(info_refusals=1)) as run:
        await asyncio.wait_for(run.running, 5)
        assert run.of(h.ChannelFailed) == [h.ChannelFailed("unknown_channel")]
        assert run.gateway.queries == []


@pytest.mark.parametrize("state", [{"livechat": False, "secured": False}, {"contact_id": "4711"}])
async def test_chat_outlives_a_gateway_that_does_not_know_its_channel_for_a_moment(state: dict[str, object]) -> None:
    gateway = Gateway(info_refusals=1)
    async with running(gateway, record(channel_state=state), resumed=True) as run:
        await run.connected()
        assert run.faults == ["no_channel_info"]
        gateway.info_refusals = 1
        gateway.drop()
        await run.connected(2)
        assert await run.send("still here") == ("delivered", "")
        assert run.of(h.ChannelFailed) == []


async def test_first_message_of_an_offline_livechat_fails() -> None:
    async with running(Gateway(ChannelInfo(livechat=True), online="offline")) as run:
        assert await run.send("Hello", opens=True) == ("failed", "offline")
        assert run.gateway.thread == []


async def test_unreachable_gateway_is_reported_and_tried_again() -> None:
    async with running(Gateway(is_down=True)) as run:
        await run.until(lambda: len(run.of(h.ChannelUnreachable)) >= 3)
        run.gateway.is_down = False
        await run.connected()
        assert set(run.faults) == {"not_connected"}


async def test_gateway_that_stays_away_loses_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOST_SECONDS", 0.05)
    async with running(Gateway(is_down=True)) as run:
        await asyncio.wait_for(run.running, 5)
        assert run.of(h.ChannelFailed) == [h.ChannelFailed("channel_lost")]


async def test_typing_is_shown_once_there_is_a_contact() -> None:
    async with running() as run:
        run.session.set_typing(on=True)
        await run.send("Hello", opens=True)
        run.session.set_typing(on=True)
        assert "SenderTypingStarted" not in run.gateway.types
        run.gateway.push("CaseCreated", case={"id": CONTACT})
        run.session.set_typing(on=True)
        run.session.set_typing(on=False)
        await run.until(lambda: run.gateway.types[-2:] == ["SenderTypingStarted", "SenderTypingEnded"])


async def test_attachment_is_uploaded_and_one_that_is_missing_fails_its_message() -> None:
    async with running() as run:
        missing = Attachment(url="https://bot/missing")
        assert await run.send("See", 1, attachments=[missing]) == ("failed", "attachment_unavailable")
        photo = Attachment(url="https://bot/photo", name="photo.png", media_type="image/png")
        await run.send("See", 2, attachments=[photo])
        sent = run.gateway.frames[-1]["payload"]["data"]["attachments"]
        assert sent == [{"url": "https://cxone/7", "friendlyName": "photo.png", "mimeType": "image/png"}]


async def test_attachments_within_the_limits_of_the_channel_only() -> None:
    photo = Attachment(url="https://bot/photo", media_type="image/png")
    for info, reason in (
        (ChannelInfo(attachments=False), "attachment_forbidden"),
        (ChannelInfo(max_file_bytes=6), "attachment_too_large"),
        (ChannelInfo(file_types=("text/*",)), "attachment_forbidden"),
    ):
        async with running(Gateway(info)) as run:
            assert await run.send("See", attachments=[photo]) == ("failed", reason)
    async with running(Gateway(ChannelInfo(file_types=("text/*", "image/*"), max_file_bytes=7))) as run:
        assert await run.send("See", attachments=[photo]) == ("delivered", "")
