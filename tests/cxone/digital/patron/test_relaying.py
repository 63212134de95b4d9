"""A patron chat, from its start to its end."""

from __future__ import annotations

import asyncio

import pytest

from sipbridge.chats.model import Attachment, ChatState
from sipbridge.chats.request import ChatRequest
from sipbridge.cxone.digital.patron import connection
from tests.cxone.digital.runs import ADA, BEN, Run, Site, customer_texts, run, text

TRANSCRIPT = [{"role": "customer", "text": "My bill is wrong"}, {"role": "bot", "text": "I ask someone"}]


async def test_the_parameters_are_in_order_with_gaps(cxone: Site) -> None:
    cxone.channel["parameters"] = [f"{{data.v{number}}}" for number in range(1, 11)]
    async with run(cxone) as bridge:
        contact = await bridge.start(data={"v1": "one", "v2": "two", "v10": "ten"}, custom_fields={"P3": "three"})
    expected = {f"P{number}": "" for number in range(1, 11)} | {"P1": "one", "P2": "two", "P3": "three", "P10": "ten"}
    assert contact.fields == expected


async def test_the_transcript_comes_first(bridge: Run, cxone: Site) -> None:
    customer = {"first_name": "Grace", "last_name": "Hopper", "email": "grace@example.com"}
    contact = await bridge.start(transcript=TRANSCRIPT, customer=customer)
    (first,) = await cxone.texts(contact, 1)
    assert "My bill is wrong" in first
    assert (contact.customer.id, contact.customer.name) == ("grace@example.com", "Grace Hopper")
    await bridge.event("handoff_accepted")


@pytest.mark.parametrize("with_id", [False, True])
async def test_texts_are_relayed_both_ways_in_order(bridge: Run, cxone: Site, with_id: bool) -> None:  # noqa: FBT001 (a parameter of a test)
    cxone.patron.settings = cxone.patron.settings.model_copy(update={"label_with_id": with_id})
    contact = await bridge.joined()
    for number in range(5):
        contact.say(text(f"agent {number}"))  # several in a batch
        await bridge.say(f"customer {number}", f"m{number}")
    await bridge.event("agent_message", 5)
    await bridge.event("message_delivered", 5)
    assert (await cxone.texts(contact, 6))[1:] == [f"customer {number}" for number in range(5)]
    assert bridge.agent_texts() == [f"agent {number}" for number in range(5)]
    agent = (await bridge.event("agent_joined"))["agent"]
    assert agent["name"] == "Ada Quinn"
    assert (agent["id"] == str(ADA.id)) is with_id
    assert (await bridge.event("agent_message"))["agent"] == agent


async def test_the_same_text_twice_in_a_batch_is_two_messages(bridge: Run) -> None:
    contact = await bridge.joined()
    contact.say(text("ok"))
    contact.say(text("ok"))
    await bridge.event("agent_message", 2)


async def test_own_texts_are_dropped_but_not_those_of_a_namesake(bridge: Run) -> None:
    contact = await bridge.joined(customer={"first_name": "Ada", "last_name": "Quinn"})
    await bridge.say("mine", "m1")
    await bridge.event("message_delivered")
    contact.say(text("hers"))
    await bridge.event("agent_message")
    assert bridge.agent_texts() == ["hers"]


async def test_typing_is_shown_both_ways(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    bridge.live.set_typing(on=True)
    await cxone.until(lambda: contact.customer_is_typing, "typing of the customer")
    bridge.live.set_typing(on=False)
    await cxone.until(lambda: not contact.customer_is_typing, "end of the customer's typing")
    contact.show_agent_typing(on=True)
    await bridge.event("agent_typing")
    contact.show_agent_typing(on=False)
    assert await bridge.event("agent_typing", 2) == {"state": "stopped"}


async def test_a_transfer_does_not_end_the_chat(bridge: Run) -> None:
    contact = await bridge.joined()
    contact.leave(in_transfer=True)
    await bridge.event("agent_left")
    contact.accept(BEN)
    assert (await bridge.event("agent_joined", 2))["agent"]["name"] == "Ben O."
    assert bridge.reception.active == 1


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"ended_text": False},
        {"ended_status": False},
        {"ended_text": False, "ended_status": False},
        {"ended_text": False, "ended_status": False, "ended_form": "session_ended"},
    ],
)
async def test_the_human_agent_ends_the_chat(bridge: Run, cxone: Site, form: dict[str, object]) -> None:
    cxone.patron.settings = cxone.patron.settings.model_copy(update=form)
    contact = await bridge.joined()
    contact.say(text("Bye"))
    contact.set_status("closed", by="agent")
    record = await bridge.ended()
    assert (record.state, record.ended_by) == (ChatState.ENDED, "agent")
    assert bridge.agent_texts() == ["Bye"]


async def test_the_bot_ends_the_chat(bridge: Run) -> None:
    contact = await bridge.joined()
    await bridge.say("Thank you", "m1")
    await bridge.end()
    record = await bridge.ended()
    assert (record.state, record.ended_by) == (ChatState.ENDED, "bot")
    assert contact.closed_by == "customer"
    assert customer_texts(contact)[1:] == ["Thank you", "The chat has ended."]


async def test_a_chat_whose_start_is_in_flight_is_ended(
    bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipbridge.chats.session.LAST_MESSAGES_SECONDS", 0.05)
    cxone.fail("patron_start", latency_seconds=0.5)
    contact = await bridge.start()
    await bridge.end()
    assert (await bridge.ended()).ended_by == "bot"
    assert contact.closed_by == "customer"


async def test_a_chat_that_is_over_is_not_started(bridge: Run, cxone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipbridge.chats.session.LAST_MESSAGES_SECONDS", 0.05)
    cxone.fail("patron_start", status=503, latency_seconds=0.5)
    await bridge.request()
    await cxone.until(lambda: "patron_token" in cxone.state.requests(), "token")
    await bridge.end()
    assert (await bridge.ended()).ended_by == "bot"
    assert cxone.desk.conversations() == []
    assert cxone.state.requests()["patron_start"] == {"503": 1}


async def test_closed_hours_reach_the_bot_which_takes_the_customer_back(bridge: Run, cxone: Site) -> None:
    cxone.patron.points["123"] = cxone.patron.points["123"].model_copy(update={"open": False})
    await bridge.request()
    record = await bridge.ended()
    assert bridge.agent_texts() == ["The department is currently closed."]
    assert (record.state, record.reason) == (ChatState.FAILED, "closed")
    assert await bridge.event("handoff_failed") == {"reason": "closed"}


async def test_the_end_after_an_hour_is_announced(cxone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONTACT_SECONDS", 2.0)
    monkeypatch.setattr(connection, "EXPIRY_WARNING_SECONDS", 1.5)
    async with run(cxone) as bridge:
        contact = await bridge.joined()
        assert (await bridge.event("expiry_warning"))["seconds_left"] in (1, 2)
        assert cxone.patron.expire(contact.id)
        record = await bridge.ended()
        assert (record.state, record.ended_by) == (ChatState.ENDED, "agent")


async def test_a_lost_response_is_delivered_if_the_text_comes_back(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_text", reset="after")
    await bridge.say("once", "m1")
    await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == ["once"]


async def test_a_lost_response_without_an_echo_is_unknown(bridge: Run, cxone: Site) -> None:
    cxone.patron.settings = cxone.patron.settings.model_copy(update={"echo": False})
    contact = await bridge.joined()
    cxone.fail("patron_text", reset="after")
    await bridge.say("once", "m1")
    await bridge.say("next", "m2")
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": "unknown", "reason": "no_response"}
    await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == ["once", "next"]


@pytest.mark.parametrize(
    ("status", "fate"),
    [(500, ("unknown", "response_500")), (400, ("failed", "refused_400")), (404, ("failed", "refused_404"))],
)
async def test_a_refused_text(bridge: Run, cxone: Site, status: int, fate: tuple[str, str]) -> None:
    await bridge.joined()
    cxone.fail("patron_text", status=status, times=2)
    await bridge.say("refused", "m1")
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": fate[0], "reason": fate[1]}


async def test_a_busy_cxone_gets_the_text_later(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_text", status=429, retry_after=1)
    await bridge.say("later", "m1")
    await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == ["later"]


async def test_a_text_with_a_stale_session_id_is_sent_with_the_next_one(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_text", status=404)
    await bridge.say("late", "m1")
    await cxone.until(lambda: "404" in cxone.state.requests()["patron_text"], "refusal")
    contact.say(text("news"))
    await bridge.event("message_delivered")
    assert customer_texts(contact)[1:] == ["late"]


async def test_a_stale_session_id_for_polls_loses_the_chat(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_poll", reset="after")
    contact.say(text("before"))  # ends the poll that waits
    await bridge.event("agent_message")
    contact.say(text("lost with the response"))
    record = await bridge.ended()
    assert (record.ended_by, record.reason) == ("bridge", "channel_lost")


async def test_a_batch_whose_response_was_lost_is_had_again_if_cxone_keeps_it(bridge: Run, cxone: Site) -> None:
    cxone.patron.settings = cxone.patron.settings.model_copy(update={"keeps_unread": True})
    contact = await bridge.joined()
    cxone.fail("patron_poll", reset="after")
    for number, said in enumerate(("before", "kept", "next"), 1):
        contact.say(text(said))
        await bridge.event("agent_message", number)
    assert bridge.agent_texts() == ["before", "kept", "next"]


async def test_errors_of_a_poll_are_outlived(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_poll", status=503, times=2)
    cxone.fail("patron_poll", status=429, times=2)
    cxone.fail("patron_poll", body="no json")
    contact.say(text("one"))  # ends the poll that waits
    await bridge.event("agent_message")
    contact.say(text("two"))
    await asyncio.sleep(0.2)
    assert bridge.reception.active == 1


async def test_an_expired_token_is_renewed(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_text", latency_seconds=0.001, expire_tokens=True)
    await bridge.say("still here", "m1")
    await bridge.event("message_delivered")
    contact.say(text("me too"))
    await bridge.event("agent_message")
    assert cxone.state.requests()["patron_token"] == {"200": 2}


async def test_a_start_whose_response_was_lost_is_not_repeated(bridge: Run, cxone: Site) -> None:
    cxone.fail("patron_start", reset="after")
    await bridge.request()
    record = await bridge.ended()
    assert (record.state, record.reason) == (ChatState.FAILED, "start_unknown")
    assert len(cxone.desk.conversations()) == 1


async def test_a_start_is_repeated_while_cxone_is_busy(bridge: Run, cxone: Site) -> None:
    cxone.fail("patron_start", status=503, times=2)
    await bridge.joined()
    assert cxone.state.requests()["patron_start"] == {"503": 2, "202": 1}


async def test_a_refused_start_fails_the_handoff(bridge: Run, cxone: Site) -> None:
    cxone.fail("patron_start", status=400)
    await bridge.request()
    assert (await bridge.ended()).reason == "refused"


async def test_a_wrong_access_key_fails_the_handoff_at_the_queue_timeout(cxone: Site) -> None:
    cxone.channel["access_key_secret"] = "wrong"
    cxone.chat["queue_timeout_seconds"] = 0.2
    async with run(cxone) as bridge:
        await bridge.request()
        assert (await bridge.ended()).state is ChatState.FAILED


async def test_links_of_the_bot_go_as_text_if_their_host_is_allowed(bridge: Run) -> None:
    contact = await bridge.joined()
    await bridge.say("look", "m1", Attachment(url="https://files.example/a.png", name="a.png"))
    await bridge.event("message_delivered")
    assert customer_texts(contact)[-1] == "look\nhttps://files.example/a.png"
    await bridge.say("", "m2", Attachment(url="https://169.254.169.254/latest", name="b"))
    failed = {"id": "m2", "delivery": "failed", "reason": "attachment_forbidden"}
    assert await bridge.event("message_failed") == failed
    await bridge.say("  two\n", "m3")
    await bridge.event("message_delivered", 2)
    assert customer_texts(contact)[-1] == "  two\n"


async def test_a_link_that_does_not_fit_below_the_text_is_a_text_of_its_own(bridge: Run) -> None:
    contact = await bridge.joined()
    fits, too_much = (Attachment(url=f"https://files.example/{name}", name=name) for name in ("a", "b"))
    long = "x" * (4_000 - len(fits.url) - 1)
    await bridge.say(long, "m1", fits, too_much)
    await bridge.event("message_delivered")
    assert customer_texts(contact)[-2:] == [f"{long}\n{fits.url}", too_much.url]


async def test_a_forbidden_link_fails_a_long_text_before_its_first_part(bridge: Run) -> None:
    contact = await bridge.joined()
    before = customer_texts(contact)
    await bridge.say("x" * 4_100, "m1", Attachment(url="https://169.254.169.254/latest", name="b"))
    assert (await bridge.event("message_failed"))["reason"] == "attachment_forbidden"
    assert customer_texts(contact) == before


async def test_the_position_in_the_queue_is_counted_before_the_start(cxone: Site) -> None:
    cxone.channel["skill"] = "1001"
    for number in range(2):
        cxone.patron.start(cxone.patron.points["123"], [], f"other-{number}")
    async with run(cxone) as bridge:
        await bridge.request()
        assert await bridge.event("queue_status") == {"position_in_queue": 3}
        cxone.fail("patron_skill", status=500)
        await bridge.reception.start("acme", "support", ChatRequest(id="c2"))
        await bridge.event("handoff_accepted", 2)
        assert len(bridge.payloads("queue_status")) == 1


async def test_a_chat_starts_once_there_is_a_token(bridge: Run, cxone: Site) -> None:
    cxone.fail("patron_token", status=500, times=2)
    await bridge.request()
    await bridge.event("handoff_accepted")
    assert bridge.faults == ["not_started", "not_started"]


@pytest.mark.parametrize(("status", "delivery"), [(429, "failed"), (503, "failed"), (502, "unknown")])
async def test_a_text_that_cxone_surely_has_not_taken_has_failed_when_the_chat_ends(
    bridge: Run, cxone: Site, status: int, delivery: str
) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_text", status=status, retry_after=30, times=None)
    await bridge.say("not taken", "m1")
    await cxone.until(lambda: str(status) in cxone.state.requests()["patron_text"], "request")
    contact.set_status("closed", by="agent")
    await bridge.ended()
    assert await bridge.event("message_failed") == {"id": "m1", "delivery": delivery, "reason": "chat_ended"}


async def test_a_long_text_of_which_cxone_has_a_part_is_in_doubt_when_the_chat_ends(bridge: Run, cxone: Site) -> None:
    contact = await bridge.joined()
    cxone.fail("patron_text", latency_seconds=0.001)  # the first part arrives
    cxone.fail("patron_text", status=429, retry_after=30, times=None)
    await bridge.say("a" * 4_000 + "b" * 100, "m1")
    await cxone.until(lambda: "429" in cxone.state.requests()["patron_text"], "request")
    contact.set_status("closed", by="agent")
    await bridge.ended()
    assert (await bridge.event("message_failed"))["delivery"] == "unknown"
