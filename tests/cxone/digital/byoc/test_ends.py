"""The end of a chat over a bring-your-own channel: by each side, by the hook, and while CXone does not respond."""

from __future__ import annotations

import pytest

from sipbridge.chats.model import ChatState
from sipbridge.cxone.digital import closing
from sipbridge.cxone.digital.byoc import session
from sipbridge.simulators.cxone.digital.conversation import Conversation
from tests.cxone.digital.runs import ADA, Run, Site, run, text


async def test_the_human_agent_ends_the_chat(bridge: Run) -> None:
    contact = await bridge.joined()
    contact.say(text("Bye"))
    contact.set_status("closed", by="agent")
    record = await bridge.ended()
    assert (record.state, record.ended_by) == (ChatState.ENDED, "agent")
    assert bridge.agent_texts() == ["Bye"]
    assert bridge.payloads("agent_left") == [], "the bot would ask the customer to wait for another human agent"


async def hook(bridge: Run, contact: Conversation) -> tuple[str, dict[str, str]]:
    """Return the URL by which a Studio script reports the end, and the headers that it needs."""
    box = f"{bridge.bridge.base}/byoc/acme/support/web/1.0"
    grant = {"grant_type": "client_credentials", "client_id": "box-client", "client_secret": "box-secret"}
    async with bridge.bridge.session.post(f"{box}/token", json=grant) as response:
        token = (await response.json())["access_token"]
    release = f"{box}/channel/{contact.channel}/thread/{contact.thread_id}/release"
    return release, {"Authorization": f"Bearer {token}"}


async def test_a_studio_script_ends_the_chat_by_the_hook(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    release, headers = await hook(bridge, contact)
    async with bridge.bridge.session.post(release) as response:
        assert response.status == 401
    async with bridge.bridge.session.post(release, headers=headers) as response:
        assert response.status == 204
    record = await bridge.ended()
    assert (record.ended_by, record.reason) == ("agent", "released")
    async with bridge.bridge.session.post(release, headers=headers) as response:
        assert response.status == 404
    assert cxone.state.requests()["byoc_message"] == {"201": 1}


async def test_a_human_agent_who_joined_right_before_the_release_has_had_the_chat(
    bridge: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "POLL_SECONDS", 60.0)
    contact = await bridge.start()
    await bridge.event("handoff_accepted")
    contact.accept(ADA)
    release, headers = await hook(bridge, contact)
    async with bridge.bridge.session.post(release, headers=headers) as response:
        assert response.status == 204
    record = await bridge.ended()
    assert (record.state, record.ended_by, record.reason) == (ChatState.ENDED, "agent", "released")


async def test_the_bot_ends_the_chat(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    await bridge.say("Thank you", "m1")
    await bridge.end(by="customer")
    record = await bridge.ended()
    assert (record.state, record.ended_by) == (ChatState.ENDED, "customer")
    assert (contact.status, contact.closed_by) == ("closed", "customer")
    assert (await cxone.texts(contact, 3))[1:] == ["Thank you", "The chat has ended."]


async def test_no_human_agent_in_time(cxone: Site) -> None:
    cxone.chat["queue_timeout_seconds"] = 0.2
    async with run(cxone) as bridge:
        contact = await bridge.start()
        record = await bridge.ended()
    assert record.state is ChatState.TIMED_OUT
    assert contact.status == "closed"


@pytest.mark.parametrize("reset", ["before", "after"])
async def test_the_contact_of_a_lost_first_response_is_closed(
    bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch, reset: str
) -> None:
    monkeypatch.setattr("sipbridge.chats.session.LAST_MESSAGES_SECONDS", 0.05)
    cxone.fail("byoc_message", reset=reset)
    cxone.fail("byoc_search", latency_seconds=30)  # so that it is not known if the message arrived
    await bridge.request()
    await cxone.until(lambda: "not_posted" in bridge.faults, "fault")
    await bridge.end()
    await bridge.ended()
    contacts = cxone.desk.conversations()
    assert [contact.status for contact in contacts] == (["closed"] if reset == "after" else [])


async def test_a_message_after_the_close_calls_no_other_human_agent(bridge: Run, cxone: Site) -> None:
    cxone.fail("byoc_contact", status=503, times=None)  # the polls do not see the end
    contact = await bridge.start()
    contact.set_status("closed", by="agent")
    await bridge.say("Are you there?", "m1")
    record = await bridge.ended()
    assert (record.state, record.reason) == (ChatState.FAILED, "closed")
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": "failed", "reason": "contact_closed"}
    other = await cxone.contact(2)
    await cxone.until(lambda: other.status == "closed", "close of the second contact")


async def test_a_lost_response_of_a_message_after_the_close_calls_no_other_human_agent(
    bridge: Run, cxone: Site
) -> None:
    contact = await bridge.joined()
    cxone.fail("byoc_contact", status=503, times=None)  # the polls do not see the end
    await cxone.until(lambda: "503" in cxone.state.requests()["byoc_contact"], "refusal")
    contact.set_status("closed", by="agent")
    cxone.fail("byoc_message", reset="after")
    await bridge.say("Are you there?", "m1")
    assert (await bridge.ended()).ended_by == "agent"
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": "failed", "reason": "contact_closed"}
    other = await cxone.contact(2)
    await cxone.until(lambda: other.status == "closed", "close of the second contact")


async def test_cxone_cannot_ask_for_a_pause_that_hides_the_end(
    bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_RETRY_AFTER_SECONDS", 0.05)
    contact = await bridge.joined()
    cxone.fail("byoc_contact", status=429, retry_after=86_400)
    await cxone.until(lambda: "429" in cxone.state.requests()["byoc_contact"], "refusal")
    contact.set_status("closed", by="agent")
    assert (await bridge.ended()).ended_by == "agent"


async def test_last_words_whose_call_did_not_come_arrive_before_the_end(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.change_box(box_url="http://127.0.0.1:1/box")
    contact.say(text("Bye"))
    contact.set_status("closed", by="agent")
    assert (await bridge.ended()).ended_by == "agent"
    assert bridge.agent_texts() == ["Bye"]


async def test_the_end_does_not_wait_for_words_that_cannot_be_read(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("byoc_contact_messages", status=403, times=None)
    contact.set_status("closed", by="agent")
    assert (await bridge.ended()).ended_by == "agent"
    assert "not_recovered" in bridge.faults


async def test_the_end_is_seen_if_cxone_did_not_name_the_contact(bridge: Run, cxone: Site) -> None:
    cxone.fail("byoc_message", body="{}")
    contact = await bridge.joined()
    contact.set_status("closed", by="agent")
    assert (await bridge.ended()).ended_by == "agent"


async def test_the_contact_is_closed_even_if_the_closing_text_has_to_wait(
    bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSING_TEXT_SECONDS", 0.1)
    contact = await bridge.joined()
    cxone.fail("byoc_message", status=429, retry_after=100, times=None)
    cxone.fail("byoc_status", status=503, times=1)
    await bridge.end()
    await bridge.ended()
    await cxone.until(lambda: contact.status == "closed", "close")


async def test_a_message_that_waited_opens_no_contact_behind_the_close(
    bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.chats.session.LAST_MESSAGES_SECONDS", 0.05)
    monkeypatch.setattr(closing, "CLOSING_TEXT_SECONDS", 0.05)
    monkeypatch.setattr(session, "MAX_PAUSE_SECONDS", 0.05)
    contact = await bridge.joined()
    cxone.fail("byoc_message", status=429, times=None)
    cxone.fail("byoc_status", reset="after")  # so the close is repeated, after a pause
    await bridge.say("too late", "m1")
    await bridge.end()
    await cxone.until(lambda: contact.status == "closed", "close")
    cxone.state.clear_faults()
    await bridge.ended()
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": "failed", "reason": "chat_ended"}
    assert cxone.desk.conversations() == [contact]


@pytest.mark.parametrize(("status", "delivery"), [(429, "failed"), (503, "unknown")])
async def test_a_message_that_cxone_surely_has_not_taken_has_failed_when_the_chat_ends(
    bridge: Run, cxone: Site, status: int, delivery: str
) -> None:
    contact = await bridge.joined()
    cxone.fail("byoc_message", status=status, retry_after=30, times=None)
    await bridge.say("not taken", "m1")
    await cxone.until(lambda: "not_posted" in bridge.faults, "fault")
    contact.set_status("closed", by="agent")
    await bridge.ended()
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": delivery, "reason": "chat_ended"}
