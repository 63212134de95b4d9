"""Chats over a bring-your-own channel with the real program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from tests.harness.programs.program import Program
from tests.harness.waiting import wait_for
from tests.harness.web.http import fetch

from .chat_site import ChatSite, PlacedChat
from .own_channel_site import BYOC, Place, own_channels

TRANSCRIPT = [{"role": "customer", "text": "My bill is wrong"}]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with own_channels(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatSite]:
    with own_channels(tmp_path_factory.mktemp("byoc")) as place, place.run() as site:
        yield site


@pytest.fixture
def chats(shared: ChatSite) -> Iterator[ChatSite]:
    """The bridge that most tests share; its CXone is as at the start afterwards."""
    yield shared
    shared.desk.change_byoc(DEMO_CHANNEL.id, link_seconds=60)
    shared.desk.change_byoc_settings(contact_burst=250, contact_per_minute=17)


def joined(chats: ChatSite) -> PlacedChat:
    """Return a chat whose human agent has written: that shows who it is sooner than the next poll."""
    chat = chats.start(BYOC)
    chat.event("handoff_accepted")
    chats.desk.accept(chat.conversation)
    chat.reported("Hello")
    assert chat.event("agent_joined")["agent"]["name"] == "Ada Quinn"
    return chat


def test_a_chat_from_its_start_to_its_end(chats: ChatSite) -> None:
    before = chats.count()
    chat = chats.start(BYOC, reason="billing", transcript=TRANSCRIPT)
    chat.event("handoff_accepted")
    [summary] = chats.desk.chats(contains="My bill is wrong", wait_for=1)
    assert (summary["kind"], summary["fields"]) == ("byoc", {"reason": "billing"})
    contact = summary["id"]
    chats.desk.accept(contact)
    chats.desk.act(contact, "typing", state="started")
    chats.desk.say(contact, "Hello")
    assert chat.event("agent_message")["agent"]["name"] == "Ada Quinn"
    assert chat.event("agent_joined")["agent"]["name"] == "Ada Quinn"
    assert chat.payloads("agent_typing")[0] == {"state": "started"}
    calls = chats.desk.calls(wait_for=1, kind="message", result="200", thread=summary["thread"])
    assert len(calls) == 1
    assert len(chats.desk.calls(kind="token", thread=summary["thread"])) <= 1
    assert chat.post("typing", {"state": "started"}) == 202
    chats.desk.chat(id=contact, customer_typing=True)
    chat.say("Thank you", id="m1")
    assert chat.event("message_delivered") == {"id": "m1"}
    assert chats.desk.messages(contact, direction="inbound")[-1]["text"] == "Thank you"
    chats.desk.close(contact)
    record = chat.ended(20)  # by a poll
    assert (record["state"], record["ended_by"], record["reason"]) == ("ended", "agent", "closed")
    assert (
        chats.grown(
            before, "sipbridge_chats_total", client="acme", project="support", result="success", reason="closed"
        )
        == 1
    )


def test_a_file_of_the_human_agent_outlives_its_link(chats: ChatSite) -> None:
    chats.desk.change_byoc(DEMO_CHANNEL.id, link_seconds=0.5)
    chat = joined(chats)
    url = chats.desk.add_file("content", "form.json", "application/json")
    attachment = {"url": url, "name": "form.json", "media_type": "application/json"}
    chats.desk.act(chat.conversation, "messages", text="The form", attachments=[attachment])
    (given,) = chat.event("agent_message", 2)["attachments"]
    assert given["url"].startswith(f"{chat.project.url}/chats/{chat.id}/attachments/")
    answer = fetch(given["url"], headers={"x-api-key": chat.project.key})
    assert (answer.status, json.loads(answer.body)) == (200, "content")
    assert fetch(given["url"]).status == 401
    chat.end()
    chat.ended()
    assert chat.project.request(f"handoff_state?id={chat.id}", "DELETE").status in (200, 204)
    assert fetch(given["url"], headers={"x-api-key": chat.project.key}).status == 404


@pytest.mark.parametrize("stop", [Program.stop, Program.kill], ids=["SIGTERM", "SIGKILL"])
def test_nothing_is_lost_or_doubled_by_a_restart(place: Place, stop: Callable[[Program], object]) -> None:
    place.cxone.desk.change_byoc(DEMO_CHANNEL.id, repeats=100, repeat_seconds=0.1)
    with place.run() as first:
        chat = joined(first)
        place.cxone.fail("byoc_message", latency_seconds=60)
        chat.say("on its way", id="m1")
        assert chat.at_desk(1) == ["on its way"]
        chat.say("waits", id="m2")
        stop(first.bridge.program)
    contact = chat.conversation
    for text in ("meanwhile", "meanwhile", "and more"):
        place.cxone.desk.say(contact, text)
    with place.run(first):
        chat.event("agent_message", 4)
        chat.reported("after", 5)
        chat.event("message_delivered", 2)
        assert chat.texts == ["Hello", "meanwhile", "meanwhile", "and more", "after"]
        assert chat.at_desk(2) == ["on its way", "waits"]

        def all_delivered() -> bool:
            said = place.cxone.desk.messages(contact, direction="outbound")
            return all(message["delivered_at"] for message in said)

        wait_for(all_delivered, "CXone to see the responses of the box")
        sequences = [event.data["sequence"] for event in chat.seen if event.data["sequence"] is not None]
        assert sequences == list(range(1, len(sequences) + 1))


def test_a_studio_script_ends_the_chat(chats: ChatSite) -> None:
    chat = joined(chats)
    [summary] = chats.desk.chats(contains=chat.id)
    box = f"{chats.bridge.http}/byoc/acme/support/{BYOC}/1.0"
    grant = {"grant_type": "client_credentials", "client_id": "box-client", "client_secret": "box-secret"}
    token = fetch(f"{box}/token", "POST", body=grant).json()["access_token"]
    release = f"{box}/channel/{DEMO_CHANNEL.id}/thread/{summary['thread']}/release"
    assert fetch(release, "POST").status == 401
    assert fetch(release, "POST", headers={"Authorization": f"Bearer {token}"}).status == 204
    assert chat.event("chat_ended") == {"by": "agent", "reason": "released"}


def test_the_throttle_of_a_contact_is_respected(chats: ChatSite) -> None:
    chats.desk.change_byoc_settings(contact_burst=3, contact_per_minute=120)
    chat = chats.start(BYOC)
    chat.event("handoff_accepted")
    for number in range(6):
        chat.say(f"text {number}")
    chat.event("message_delivered", 6, 20)
    assert chat.at_desk(6) == [f"text {number}" for number in range(6)]
    assert chats.cxone.requests()["byoc_message"]["429"] <= 6  # it waits as long as Retry-After says
