"""A patron chat that outlives the bridge."""

from __future__ import annotations

from sipbridge.chats.model import ChatState
from sipbridge.chats.ports import ChatChange
from tests.cxone.digital.runs import Run, Site, customer_texts, run, text


async def test_messages_of_the_pause_arrive_in_order_and_once(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        contact.say(text("before"))
        await bridge.event("agent_message")
        await bridge.say("question", "m1")
        await bridge.event("message_delivered")
    contact.say(text("meanwhile"))
    contact.say(text("and more"))
    async with run(cxone) as bridge:
        await bridge.event("agent_message", 3)
        assert bridge.agent_texts() == ["before", "meanwhile", "and more"]
        assert len(bridge.payloads("agent_joined")) == 1
        await bridge.say("still here", "m2")
        await bridge.event("message_delivered", 2)
    assert customer_texts(contact)[1:] == ["question", "still here"]


async def test_a_batch_that_was_kept_but_not_passed_on_is_passed_on(cxone: Site) -> None:
    """A crash between two writes: the session id of the batch is stored, its messages are not with the bot."""
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        await bridge.say("the echo ends a batch", "m1")
        await bridge.event("message_delivered")
        contact.say(text("one"))
        contact.say(text("two"))
        await bridge.event("agent_message", 2)
        record = bridge.live.record
    batch = [
        {"Type": "Text", "Text": content, "PartyTypeId": "2", "Label": "Ada Quinn"}
        for content in ("one", "two", "three", "four")
    ]
    await _store_state(cxone, record.uid, batch=batch)
    async with run(cxone) as bridge:
        await bridge.event("agent_message", 4)
    async with run(cxone) as bridge:  # the batch is there still, and with the bot already
        contact.say(text("five"))
        await bridge.event("agent_message", 5)
        assert bridge.agent_texts() == ["one", "two", "three", "four", "five"]


async def test_the_fate_of_a_text_that_was_being_sent_is_unknown(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        cxone.fail("patron_text", latency_seconds=30)
        await bridge.say("sent", "m1")
        await bridge.say("waits", "m2")
        await cxone.texts(contact, 2)
        await _echoed(cxone, bridge, "sent")
    async with run(cxone) as bridge:
        assert await bridge.event("message_failed") == {"id": "m1", "delivery": "unknown", "reason": "restarted"}
        await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == ["sent", "waits"]


async def test_the_parts_of_a_long_text_that_had_arrived_are_not_sent_again(cxone: Site) -> None:
    parts = ["a" * 4_000, "b" * 4_000, "c" * 100]
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        cxone.fail("patron_text", times=1, latency_seconds=0.001)
        cxone.fail("patron_text", latency_seconds=30)
        await bridge.say("".join(parts), "m1")
        await cxone.texts(contact, 3)
        await _echoed(cxone, bridge, parts[1])
    async with run(cxone) as bridge:
        assert (await bridge.event("message_failed"))["delivery"] == "unknown"
        await bridge.say("next", "m2")
        await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == [*parts, "next"]


async def test_a_chat_whose_start_was_requested_is_not_started_again(cxone: Site) -> None:
    cxone.fail("patron_start", latency_seconds=30)
    async with run(cxone) as bridge:
        await bridge.start()
    async with run(cxone) as bridge:
        record = await bridge.ended()
        assert (record.state, record.reason) == (ChatState.FAILED, "start_unknown")
    assert len(cxone.desk.conversations()) == 1


async def test_a_chat_that_cxone_was_too_busy_to_start_is_started_by_the_next_run(cxone: Site) -> None:
    cxone.fail("patron_start", status=503, times=None)
    async with run(cxone) as bridge:
        await bridge.request()
        await cxone.until(lambda: "patron_start" in cxone.state.requests(), "refusal")
        await cxone.until(lambda: bridge.live.record.channel_state.get("starting") is False, "state")
    cxone.state.clear_faults()
    async with run(cxone) as bridge:
        await bridge.event("handoff_accepted")
    assert len(cxone.desk.conversations()) == 1


async def test_the_end_during_the_pause(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
    contact.say(text("Bye"))
    contact.set_status("closed", by="agent")
    async with run(cxone) as bridge:
        record = await bridge.ended()
        assert (record.state, record.ended_by) == (ChatState.ENDED, "agent")
        assert bridge.agent_texts() == ["Bye"]


async def test_an_end_that_was_interrupted_sends_the_closing_text_once(cxone: Site) -> None:
    cxone.fail("patron_end", latency_seconds=30)
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        await bridge.end()
        await cxone.texts(contact, 2)
        await _echoed(cxone, bridge, "The chat has ended.")
    async with run(cxone) as bridge:
        record = await bridge.ended()
        assert (record.state, record.ended_by) == (ChatState.ENDED, "bot")
    assert contact.closed_by == "customer"
    assert customer_texts(contact)[1:] == ["The chat has ended."]


async def test_a_session_id_that_the_last_run_did_not_store_loses_the_chat(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
    assert cxone.patron.make_stale(contact.id)
    async with run(cxone) as bridge:
        record = await bridge.ended()
        assert (record.ended_by, record.reason) == ("bridge", "channel_lost")


async def _echoed(site: Site, bridge: Run, content: str) -> None:
    """Wait until the echo of a text is stored, with the session id that came with it: a later run needs that."""

    def is_echoed() -> bool:
        return any(each.get("Text") == content for each in bridge.live.record.channel_state["batch"])

    await site.until(is_echoed, "echo")


async def _store_state(site: Site, uid: str, **changes: object) -> None:
    """Change the stored state of the channel."""
    stored = await site.store.read(uid)
    assert stored is not None
    record = stored.record.model_copy(update={"channel_state": {**stored.record.channel_state, **changes}})
    await site.store.write(ChatChange(uid, record))
