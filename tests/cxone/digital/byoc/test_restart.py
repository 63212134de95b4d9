"""A chat over a bring-your-own channel that outlives the bridge."""

from __future__ import annotations

import pytest

from sipbridge.chats.model import ChatState
from tests.cxone.digital.runs import ADA, Site, customer_texts, run, text


async def test_messages_of_the_pause_arrive_in_order_and_once(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        contact.say(text("before"))
        contact.say(text("ok"))
        await bridge.event("agent_message", 2)
    contact.say(text("ok"))
    contact.say(text("meanwhile"))
    async with run(cxone) as bridge:
        await bridge.event("agent_message", 4)
        contact.say(text("after"))
        await bridge.event("agent_message", 5)
        assert bridge.agent_texts() == ["before", "ok", "ok", "meanwhile", "after"]
        assert [payload["agent"]["name"] for payload in bridge.payloads("agent_joined")] == ["Ada Quinn"]
        await bridge.say("still here", "m1")
        await bridge.event("message_delivered")
    assert customer_texts(contact)[-1] == "still here"


async def test_a_call_that_was_recovered_is_not_doubled_by_its_repeat(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
    cxone.change_box(repeats=200, repeat_seconds=0.02)
    contact.say(text("repeated until it is seen"))
    async with run(cxone) as bridge:
        await cxone.until(lambda: contact.messages[-1].delivered_at is not None, "delivery")
        contact.say(text("next"))
        await bridge.event("agent_message", 2)
        assert bridge.agent_texts() == ["repeated until it is seen", "next"]


async def test_the_last_words_come_before_the_end(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
    contact.say(text("Bye"))
    contact.set_status("closed", by="agent")
    async with run(cxone) as bridge:
        record = await bridge.ended()
        assert (record.state, record.ended_by) == (ChatState.ENDED, "agent")
        assert bridge.agent_texts() == ["Bye"]


async def test_a_message_whose_response_the_last_run_did_not_see_is_not_posted_again(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        cxone.fail("byoc_message", latency_seconds=30)
        await bridge.say("once", "m1")
        await cxone.texts(contact, 2)
    async with run(cxone) as bridge:
        await bridge.event("message_delivered")
        await bridge.say("next", "m2")
        await bridge.event("message_delivered", 2)
    assert customer_texts(contact)[1:] == ["once", "next"]


async def test_the_contact_is_found_if_the_last_run_did_not_learn_it(cxone: Site) -> None:
    cxone.fail("byoc_message", latency_seconds=30)
    async with run(cxone) as bridge:
        contact = await bridge.start()
        contact.accept(ADA)
        contact.say(text("hello"))
    async with run(cxone) as bridge:
        assert (await bridge.event("agent_message"))["text"] == "hello"
        contact.set_status("closed", by="agent")
        await bridge.ended()
    assert len(cxone.desk.conversations()) == 1


async def test_a_chat_that_was_not_opened_is_opened(cxone: Site) -> None:
    cxone.fail("byoc_message", reset="before", times=None)
    async with run(cxone) as bridge:
        await bridge.request()
        await cxone.until(lambda: "not_posted" in bridge.faults, "fault")
    cxone.state.clear_faults()
    async with run(cxone) as bridge:
        contact = await cxone.contact()
        contact.accept(ADA)
        contact.say(text("hello"))
        await bridge.event("agent_message")


@pytest.mark.parametrize("endpoint", ["byoc_contact", "byoc_contact_messages"])
async def test_recovery_is_repeated_until_cxone_responds(cxone: Site, endpoint: str) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
    contact.say(text("meanwhile"))
    cxone.fail(endpoint, status=503, times=3)
    async with run(cxone) as bridge:
        await bridge.event("agent_message")
        assert bridge.agent_texts() == ["meanwhile"]


async def test_without_the_right_to_read_messages_the_chat_goes_on(cxone: Site) -> None:
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        contact.say(text("ok"))
        await bridge.event("agent_message")
    cxone.fail("byoc_contact_messages", status=403, times=None)
    async with run(cxone) as bridge:
        contact.say(text("ok"))
        await bridge.event("agent_message", 2)
        assert "not_recovered" in bridge.faults
