"""A chat over a bring-your-own channel: messages, files and typing, both ways."""

from __future__ import annotations

import pytest

from sipbridge.chats.model import Attachment
from sipbridge.cxone.digital.byoc import session
from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from sipbridge.simulators.cxone.digital.byoc.log import CallRecord
from sipbridge.simulators.cxone.digital.messages import Attachment as File
from tests.cxone.digital.runs import ADA, BEN, KEY, Run, Site, customer_texts, text

TRANSCRIPT = [{"role": "customer", "text": "My bill is wrong"}, {"role": "bot", "text": "I ask someone"}]


def calls(site: Site, kind: str) -> list[CallRecord]:
    return [call for call in site.byoc.caller.log.records() if call.kind == kind]


async def test_the_transcript_is_the_first_message_with_the_custom_fields(bridge: Run, cxone: Site) -> None:
    customer = {"id": "7", "first_name": "Grace", "last_name": "Hopper"}
    contact = await bridge.start(reason="billing", transcript=TRANSCRIPT, customer=customer)
    (first,) = await cxone.texts(contact, 1)
    assert "My bill is wrong" in first
    assert contact.fields == {"why": "billing"}
    assert (contact.customer.id, contact.customer.name) == ("7", "Grace Hopper")
    await bridge.event("handoff_accepted")


async def test_texts_are_relayed_both_ways_in_order(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    for number in range(5):
        await bridge.say(f"customer {number}", f"m{number}")
        contact.say(text(f"agent {number}"))
    await bridge.event("agent_message", 5)
    await bridge.event("message_delivered", 5)
    assert (await cxone.texts(contact, 6))[1:] == [f"customer {number}" for number in range(5)]
    assert bridge.agent_texts() == [f"agent {number}" for number in range(5)]
    assert (await bridge.event("agent_message"))["agent"] == {
        "id": str(ADA.id),
        "name": "Ada Quinn",
        "avatar_url": ADA.image_url,
    }


async def test_cxone_gets_a_token_after_401_and_uses_it(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    contact.say(text("one"))
    contact.say(text("two"))
    await cxone.until(lambda: contact.messages[-1].delivered_at is not None, "delivery")
    assert [call.result for call in calls(cxone, "message")] == ["401", "200", "200"]
    assert [call.result for call in calls(cxone, "token")] == ["200"]
    assert contact.messages[-1].external_id == (await bridge.event("agent_message", 2))["message_id"]


async def test_the_older_form_without_the_toggle(bridge: Run, cxone: Site) -> None:
    cxone.change_box(outbound_api=False)
    contact = await bridge.joined()
    contact.say(text("hello"))
    await cxone.until(lambda: contact.messages[-1].delivered_at is not None, "delivery")
    assert bridge.agent_texts() == ["hello"]
    assert contact.messages[-1].external_id == (await bridge.event("agent_message"))["message_id"]


async def test_typing_is_shown_both_ways(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    bridge.live.set_typing(on=True)
    await cxone.until(lambda: contact.customer_is_typing, "typing of the customer")
    bridge.live.set_typing(on=False)
    await cxone.until(lambda: not contact.customer_is_typing, "end of the customer's typing")
    contact.show_agent_typing(on=True)
    await bridge.event("agent_typing")
    contact.show_agent_typing(on=False)
    assert [await bridge.event("agent_typing", number) for number in (1, 2)] == [
        {"state": "started"},
        {"state": "stopped"},
    ]


async def test_a_transfer_does_not_end_the_chat(bridge: Run) -> None:
    contact = await bridge.joined()
    contact.leave(in_transfer=True)
    await bridge.event("agent_left")
    contact.accept(BEN)
    assert (await bridge.event("agent_joined", 2))["agent"]["name"] == "Ben O."
    assert bridge.reception.active == 1


async def test_a_second_person_who_writes_does_not_take_the_chat_over(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    for number in (1, 2):
        contact.say(text(f"note {number}"), author=BEN)
        assert (await bridge.event("agent_message", number))["agent"]["name"] == "Ben O."
        polls = cxone.state.requests()["byoc_contact"]["200"]
        await cxone.until(lambda: cxone.state.requests()["byoc_contact"]["200"] > polls + 1, "polls")  # noqa: B023 (runs in this turn)
    assert [payload["agent"]["name"] for payload in bridge.payloads("agent_joined")] == ["Ada Quinn"]


async def test_a_contact_over_its_rate_is_asked_later(bridge: Run, cxone: Site) -> None:
    cxone.byoc.settings = cxone.byoc.settings.model_copy(update={"contact_burst": 2, "contact_per_minute": 240})
    contact = await bridge.joined()
    for number in range(4):
        await bridge.say(f"text {number}", f"m{number}")
    assert (await cxone.texts(contact, 5))[1:] == [f"text {number}" for number in range(4)]
    assert len(bridge.payloads("message_failed")) == 0
    assert "429" in cxone.state.requests()["byoc_message"] or "429" in cxone.state.requests()["byoc_contact"]


async def test_typing_leaves_requests_for_messages(bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TYPING_AT_ONCE", 2)
    contact = await bridge.joined()
    for _ in range(2):
        bridge.live.set_typing(on=True)
        await cxone.until(lambda: contact.customer_is_typing, "typing")
        bridge.live.set_typing(on=False)
        await cxone.until(lambda: not contact.customer_is_typing, "end of typing")
    bridge.live.set_typing(on=True)
    await bridge.say("still here", "m1")
    await bridge.event("message_delivered")
    assert cxone.state.requests()["byoc_typing"] == {"204": 4}


async def test_a_busy_cxone_is_asked_again_before_a_text_is_doubled(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.change_box(repeats=5, repeat_seconds=0, lose_responses=1)
    cxone.fail("byoc_contact_messages", status=429, times=2)
    contact.say(text("ok"))
    await cxone.until(lambda: contact.messages[-1].delivered_at is not None, "delivery")
    assert bridge.agent_texts() == ["ok"]


async def test_a_refused_message_fails(bridge: Run, cxone: Site) -> None:
    await bridge.joined()
    cxone.fail("byoc_message", status=400)
    await bridge.say("refused", "m1")
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": "failed", "reason": "refused_400"}


async def test_an_expired_token_is_renewed(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("byoc_message", latency_seconds=0.001, expire_tokens=True)
    await bridge.say("still here", "m1")
    await bridge.event("message_delivered")
    assert customer_texts(contact)[-1] == "still here"


@pytest.mark.parametrize("reset", ["before", "after"])
async def test_a_lost_response_is_followed_by_a_question(bridge: Run, cxone: Site, reset: str) -> None:
    contact = await bridge.joined()
    cxone.fail("byoc_message", reset=reset)
    await bridge.say("once", "m1")
    await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == ["once"]
    assert cxone.state.requests()["byoc_search"] == {"200": 1}


async def test_a_server_error_is_followed_by_a_question(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("byoc_message", status=503, times=2)
    cxone.fail("byoc_search", status=500)
    await bridge.say("once", "m1")
    await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == ["once"]


async def test_the_fate_is_unknown_if_cxone_does_not_say(bridge: Run, cxone: Site) -> None:
    await bridge.joined()
    cxone.fail("byoc_message", reset="after")
    cxone.fail("byoc_search", status=403, times=None)
    await bridge.say("lost?", "m1")
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": "unknown", "reason": "refused_403"}


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_repeated_call_to_the_box_doubles_nothing(bridge: Run, cxone: Site, lost: int) -> None:
    cxone.change_box(repeats=5, repeat_seconds=0, lose_responses=lost)
    contact = await bridge.joined()
    contact.say(text("only once"))
    contact.say(text("the end"))
    await cxone.until(lambda: contact.messages[-1].delivered_at is not None, "delivery")
    assert bridge.agent_texts() == ["only once", "the end"]


async def test_the_same_text_twice_is_two_messages(bridge: Run) -> None:
    contact = await bridge.joined()
    for _ in range(3):
        contact.say(text("ok"))
    await bridge.event("agent_message", 3)
    assert bridge.agent_texts() == ["ok"] * 3
    assert len({payload["message_id"] for payload in bridge.payloads("agent_message")}) == 3


async def test_a_text_may_be_doubled_but_not_lost_if_cxone_does_not_say(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    for endpoint in ("byoc_search", "byoc_contact_messages"):
        cxone.fail(endpoint, status=500, times=None)
    contact.say(text("ok"))
    contact.say(text("ok"))
    await bridge.event("agent_message", 2)
    assert "repeat_unknown" in bridge.faults


async def test_files_of_the_human_agent_outlive_their_links(bridge: Run, cxone: Site) -> None:
    cxone.change_box(link_seconds=1)
    contact = await bridge.joined()
    path = cxone.byoc.files.put(b"%PDF", "application/pdf", "form.pdf")
    contact.say(text("The form"), attachments=[File(f"{cxone.url}{path}", "form é.pdf", "application/pdf")])
    (given,) = (await bridge.event("agent_message"))["attachments"]
    assert (given["name"], given["media_type"]) == ("form é.pdf", "application/pdf")
    assert given["url"].startswith(f"{bridge.bridge.base}/v1/acme/support/chats/c1/attachments/")
    async with bridge.bridge.session.get(given["url"], headers={"x-api-key": KEY}) as response:
        assert (response.status, await response.read()) == (200, b"%PDF")
        assert response.headers["Content-Type"] == "application/pdf"
        assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''form%20%C3%A9.pdf"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with bridge.bridge.session.get(given["url"]) as response:
        assert response.status == 401
    async with bridge.bridge.session.get(given["url"][:-1], headers={"x-api-key": KEY}) as response:
        assert response.status == 404


async def test_a_file_that_cannot_be_fetched_keeps_its_link(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    contact.say(text("Look"), attachments=[File(f"{cxone.url}/missing", "a.png", "image/png")])
    (given,) = (await bridge.event("agent_message"))["attachments"]
    assert given["url"] == f"{cxone.url}/missing"
    assert "attachment_unavailable" in bridge.faults


async def test_links_of_the_bot_go_to_cxone_if_their_host_is_allowed(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    await bridge.say("mine", "m1", Attachment(url=f"{cxone.url}/a.png", name="a.png"))
    await bridge.event("message_delivered")
    assert [each.url for each in contact.messages[-1].attachments] == [f"{cxone.url}/a.png"]
    await bridge.say("inside", "m2", Attachment(url="https://169.254.169.254/latest", name="b"))
    assert await bridge.event("message_failed") == {
        "id": "m2",
        "delivery": "failed",
        "reason": "attachment_forbidden",
    }


async def test_a_message_whose_call_to_the_box_failed_is_found_by_a_later_poll(
    bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_SECONDS", 0.05)
    contact = await bridge.joined()
    contact.say(text("before"))
    await bridge.event("agent_message")
    box_url = cxone.byoc.channels[DEMO_CHANNEL.id].box_url
    cxone.change_box(box_url="http://127.0.0.1:9")  # nothing listens there
    contact.say(text("lost"))
    await bridge.event("agent_message", 2)
    cxone.change_box(box_url=box_url)
    contact.say(text("after"))
    await bridge.event("agent_message", 3)
    assert bridge.agent_texts() == ["before", "lost", "after"]


async def test_availability_is_not_known(bridge: Run) -> None:
    status, body = await bridge.bridge.get("/v1/acme/support/chat/availability", KEY)
    assert (status, body["status"]) == (200, "unknown")
    assert body["reason"]
