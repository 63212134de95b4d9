"""Chats in every state when the bridge stops or is killed, and what the next start makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.program import Program
from tests.harness.programs.simulator import Simulator, simulator

from .chat_site import ChatSite, PlacedChat, chat_settings, prepare_channels

Stop = Callable[[Program], object]


def restarted(chats: ChatSite, running: Bridge) -> ChatSite:
    """Return the site of the next run, in which the same chats listen again after what they have seen."""
    site = ChatSite(running, chats.cxone, chats.chats)
    for chat in chats.chats:
        chat.project = site.project(chat.project.url.rpartition("/")[2])
        chat.listen()
    return site


@pytest.mark.parametrize(
    ("channel", "stop"),
    [("messaging", Program.kill), ("livechat", Program.stop), ("secured", Program.kill)],
    ids=["messaging-SIGKILL", "livechat-SIGTERM", "secured-SIGKILL"],
)
def test_chats_in_every_state_go_on_after_a_restart(tmp_path: Path, channel: str, stop: Stop) -> None:
    with simulator(tmp_path) as cxone:
        prepare_channels(cxone.desk)
        settings = chat_settings(tmp_path, cxone)
        with bridge(settings, tmp_path, name="first") as first:
            chats = ChatSite(first, cxone)
            queued, active, transferred, closed, ending = (chats.start(channel) for _ in range(5))
            for chat in (queued, active, transferred, closed, ending):
                chat.event("handoff_accepted")
            for chat in (active, transferred, closed, ending):
                chat.accept()
            active.reported("before")
            active.say("heard", id="m1")
            active.event("message_delivered")
            cxone.desk.act(transferred.conversation, "leave")
            transferred.event("agent_left")
            cxone.desk.change_settings(down=True)
            cxone.desk.drop()
            requested = chats.start(channel)
            active.say("unsent", id="m2")
            ending.say("last words")
            ending.end("customer")
            stop(first.program)
        for chat in chats.chats:
            chat.stack.close()
        cxone.desk.say(active.conversation, "meanwhile")
        cxone.desk.accept(transferred.conversation, 103)
        cxone.desk.close(closed.conversation)
        cxone.desk.change_settings(down=False)
        with bridge(settings, tmp_path, name="second") as second:
            site = restarted(chats, second)
            requested.event("handoff_accepted")
            check_active(active)
            assert transferred.event("agent_joined", 2)["agent"]["id"] == "103"
            assert closed.event("chat_ended")["by"] == "agent"
            assert ending.event("chat_ended")["by"] == "customer"
            assert "last words" in ending.at_desk(1)
            queued.accept()
            queued.reported("Hello")
            for chat in chats.chats:
                sequences = [event.data["sequence"] for event in chat.seen]
                assert sequences == list(range(1, len(sequences) + 1))
            site.clear()


def check_active(chat: PlacedChat) -> None:
    """Check that both sides got what was written before, during and after the restart, once and in order."""
    assert chat.event("agent_message", 2)["text"] == "meanwhile"
    chat.event("message_delivered", 2)
    chat.say("after")
    chat.reported("goes on", 3)
    assert chat.at_desk(3) == ["heard", "unsent", "after"]
    assert chat.texts == ["before", "meanwhile", "goes on"]


def test_restart_with_the_gateway_down_keeps_the_chats(tmp_path: Path, cxone: Simulator) -> None:
    prepare_channels(cxone.desk)
    settings = chat_settings(tmp_path, cxone)
    with bridge(settings, tmp_path, name="first") as first:
        chat = ChatSite(first, cxone).active()
        chat.stack.close()
        cxone.desk.change_settings(down=True)
        first.program.kill()
    with bridge(settings, tmp_path, name="second") as second:
        site = restarted(ChatSite(second, cxone, [chat]), second)
        second.wait_for_metric(1, "sipbridge_chats_active")
        chat.say("still there?")
        cxone.desk.change_settings(down=False)
        assert chat.at_desk(1) == ["still there?"]
        chat.reported("yes")
        site.clear()


def test_end_that_was_decided_stays_the_same_after_a_kill(tmp_path: Path, cxone: Simulator) -> None:
    settings = chat_settings(tmp_path, cxone)
    with bridge(settings, tmp_path, name="first") as first:
        chats = ChatSite(first, cxone)
        chat = chats.active("livechat", project="idle")
        cxone.desk.fail("event", type="EndContact", no_ack=True)
        assert cxone.desk.chats(contains=chat.id, state="closed", wait_for=1)
        chat.stack.close()
        first.program.kill()
    with bridge(settings, tmp_path, name="second") as second:
        site = restarted(ChatSite(second, cxone, [chat]), second)
        assert chat.event("chat_ended") == {"by": "inactivity", "reason": "inactivity"}
        assert chat.ended()["ended_by"] == "inactivity"
        assert [kind for kind in chat.kinds if kind == "chat_ended"] == ["chat_ended"]
        assert chat.at_desk(1) == ["The customer has been inactive; this chat was closed."]
        count = second.metrics().value("sipbridge_chats_total", reason="inactivity")
        assert count == 1
        site.clear()


def test_chat_that_ended_stays_ended_after_a_restart(tmp_path: Path, cxone: Simulator) -> None:
    settings = chat_settings(tmp_path, cxone)
    with bridge(settings, tmp_path, name="first") as first:
        chats = ChatSite(first, cxone)
        chat = chats.active()
        chat.end()
        chat.event("chat_ended")
        chat.stack.close()
        first.program.kill()
    with bridge(settings, tmp_path, name="second") as second:
        site = restarted(ChatSite(second, cxone, [chat]), second)
        assert chat.ended()["ended_by"] == "bot"
        assert chat.post("messages", {"text": "Hello"}) == 409
        assert second.metrics().value("sipbridge_chats_resumed_total") == 0
        site.clear()
