"""Patron chats with the real program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.programs.program import Program

from .chat_site import ChatSite
from .own_channel_site import PATRON, Place, own_channels


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with own_channels(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatSite]:
    """The bridge that most tests share."""
    with own_channels(tmp_path_factory.mktemp("patron")) as place, place.run() as site:
        yield site


def test_a_chat_from_its_start_to_its_end(chats: ChatSite) -> None:
    before = chats.count()
    assert chats.availability("online", PATRON)["agents_available"] == 2
    chat = chats.start(PATRON, data={"v1": "one", "v10": "ten"}, customer={"first_name": "Grace"})
    chat.event("handoff_accepted")
    [summary] = chats.desk.chats(contains=chat.id, wait_for=1)
    assert list(summary["fields"].values()) == ["one", *[""] * 8, "ten"]
    contact = chat.accept()
    chats.desk.act(contact, "typing", state="started")
    chats.desk.say(contact, "Hello")
    assert chat.event("agent_message")["agent"]["name"] == "Ada Quinn"
    chat.say("Thank you", id="m1")
    assert chat.event("message_delivered") == {"id": "m1"}
    assert chat.at_desk(1) == ["Thank you"]
    chats.desk.act(contact, "transfer", to=102, via_queue=True, seconds=0.1)
    assert chat.event("agent_joined", 2)["agent"]["name"] == "Ben O."
    chats.desk.close(contact)
    assert chat.event("chat_ended") == {"by": "agent", "reason": "closed"}
    chat.ended()
    assert (
        chats.grown(
            before, "sipbridge_chats_total", client="acme", project="support", result="success", reason="closed"
        )
        == 1
    )
    assert chat.texts == ["Hello"]


@pytest.mark.parametrize("stop", [Program.stop, Program.kill], ids=["SIGTERM", "SIGKILL"])
def test_nothing_is_lost_or_doubled_by_a_restart(place: Place, stop: Callable[[Program], object]) -> None:
    with place.run() as first:
        chat = first.active(PATRON)
        chat.reported("before")
        place.cxone.fail("patron_text", latency_seconds=60)
        chat.say("on its way", id="m1")
        assert chat.at_desk(1) == ["on its way"]
        chat.say("waits", id="m2")
        stop(first.bridge.program)
    contact = chat.conversation
    place.cxone.desk.say(contact, "meanwhile")
    place.cxone.desk.say(contact, "and more")
    with place.run(first):
        chat.reported("after", 4)
        assert chat.event("message_failed") == {"id": "m1", "delivery": "unknown", "reason": "restarted"}
        assert chat.event("message_delivered") == {"id": "m2"}
        assert chat.texts == ["before", "meanwhile", "and more", "after"]
        assert chat.at_desk(2) == ["on its way", "waits"]


def test_closed_hours_reach_the_bot_which_takes_the_customer_back(chats: ChatSite) -> None:
    chats.desk.change_point("123", open=False)
    chat = chats.start(PATRON)
    assert chat.event("handoff_failed") == {"reason": "closed"}
    assert chat.texts == ["The department is currently closed."]
    chats.desk.change_point("123", open=True)


def test_the_end_by_age(chats: ChatSite) -> None:
    chat = chats.active(PATRON)
    chats.desk.expire_patron(chat.conversation)
    assert chat.event("chat_ended")["by"] == "agent"


def test_a_failed_check_of_availability_is_unknown_and_does_not_stop_a_start(chats: ChatSite) -> None:
    chats.cxone.fail("patron_skill", status=500)
    assert "500" in chats.availability("unknown", PATRON)["reason"]
    chats.active(PATRON)
