"""Two bridges on one Redis: the chats of one that dies, stands still or drains go on at the other."""

from __future__ import annotations

import os
import signal
from asyncio import to_thread
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import bridge
from tests.harness.programs.redis import RedisServer, redis_server
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import Settings, byoc_channel_settings, on_redis, project_settings, token
from tests.harness.waiting import wait_for
from tests.harness.web.browser import opened_page
from tests.soak.moves_chat import run_moves

from .chat_site import CLIENT, PROJECT, ChatSite, PlacedChat, chat_settings, prepare_channels

LEASE_SECONDS = 2
# A dead node was silent for two lease times; then there is the turn that finds out, and a machine that may be busy.
TAKEOVER_SECONDS = 2 * LEASE_SECONDS + 30
CALL_SECONDS = 15  # of a call that keeps a drain going
NUMBER = "+19995550001"
BYOC = "sms"
RETRY_SECONDS = 3  # until a refused message is posted again: time to stop the node


@dataclass
class Nodes:
    """Two nodes, and the Redis that they share."""

    first: ChatSite
    second: ChatSite
    redis: RedisServer

    def both_are_there(self) -> None:
        """Wait until Redis has two nodes."""
        wait_for(lambda: self.redis.run("HLEN", "sipbridge:nodes") == 2, "both nodes in Redis")

    def end(self, *chats: PlacedChat) -> None:
        """End chats."""
        for chat in chats:
            chat.end()
            chat.ended()

    def moved(self, chat: PlacedChat) -> None:
        """Wait until the second node has a chat of the first one; its bot talks to that one from then on."""
        self.second.bridge.wait_for_metric(1, "sipbridge_chats_active", TAKEOVER_SECONDS)
        chat.stack.close()
        chat.project = self.second.project()
        chat.listen()


def node_settings(folder: Path, cxone: Simulator, redis: RedisServer, name: str) -> Settings:
    """A node with chats, and a project whose callers talk."""
    shared = on_redis(redis.url, name, lease_seconds=LEASE_SECONDS)
    settings = chat_settings(folder, cxone) | shared | {"drain_seconds": 2 * CALL_SECONDS}
    settings["http"] |= {"listen": "127.0.0.1:0", "max_requests_per_second": 100_000}
    settings["store"]["journal"] = str(folder / f"{name}.journal")
    silence = folder / "silence.wav"
    write_silence(silence, 2 * CALL_SECONDS)
    voice = project_settings("voice", agent={"type": "prompt", "audio": str(silence)})
    projects = settings["clients"][CLIENT]["projects"]
    projects["voice"] = voice
    projects[PROJECT]["chat"]["channels"]["messaging"]["custom_fields"]["pop"] = "{pop_url}"
    projects[PROJECT]["chat"]["channels"][BYOC] = byoc_channel_settings(cxone.url)
    return settings


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        cxone = stack.enter_context(simulator(tmp_path))
        prepare_channels(cxone.desk)
        redis = stack.enter_context(redis_server(tmp_path))
        sites = []
        for name in ("node-1", "node-2"):
            settings = node_settings(tmp_path, cxone, redis, name)
            running = bridge(settings, tmp_path, name=name, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"})
            sites.append(ChatSite(stack.enter_context(running), cxone))
        both = Nodes(sites[0], sites[1], redis)
        both.both_are_there()
        yield both
        for site in sites:
            for chat in site.chats:
                chat.stack.close()


def relay_before(chat: PlacedChat) -> None:
    """Relay a message both ways."""
    chat.reported("before")
    chat.say("heard", id="m1")
    chat.event("message_delivered")


def check_relayed(chat: PlacedChat) -> None:
    """Check that both sides got what was written before, during and after the move, once and in order."""
    assert chat.event("agent_message", 2, TAKEOVER_SECONDS)["text"] == "meanwhile"
    chat.say("heard", id="m1")
    chat.say("after", id="m2")
    assert chat.at_desk(2) == ["heard", "after"]
    chat.reported("goes on", 3)
    assert chat.texts == ["before", "meanwhile", "goes on"]
    chat.end()
    chat.ended()
    sequences = [event.data["sequence"] for event in chat.seen if event.data["sequence"] is not None]
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_node_that_stood_still_sends_nothing_that_another_one_has_sent(nodes: Nodes) -> None:
    first, desk = nodes.first.bridge, nodes.first.desk
    chat = nodes.first.active()
    relay_before(chat)
    desk.change_settings(down=True)
    desk.drop()
    chat.say("waits", id="m2")
    os.kill(first.program.pid, signal.SIGSTOP)
    desk.change_settings(down=False)
    desk.say(chat.conversation, "meanwhile")
    nodes.moved(chat)
    assert chat.at_desk(2) == ["heard", "waits"]
    os.kill(first.program.pid, signal.SIGCONT)
    first.wait_for_metric(0, "sipbridge_chats_active")
    nodes.both_are_there()
    assert chat.event("agent_message", 2)["text"] == "meanwhile"
    chat.project = nodes.first.project()  # any node
    chat.say("after", id="m3")
    assert chat.at_desk(3) == ["heard", "waits", "after"]
    chat.reported("goes on", 3)
    assert chat.texts == ["before", "meanwhile", "goes on"]
    again = nodes.first.active()  # in another epoch
    again.reported("Hello")
    nodes.end(chat, again)


def test_a_node_that_wakes_up_does_not_repeat_what_cxone_has_refused_before(nodes: Nodes) -> None:
    first, cxone = nodes.first.bridge, nodes.first.cxone
    chat = nodes.first.start(BYOC)
    chat.event("handoff_accepted")
    chat.say("heard", id="m1")
    chat.event("message_delivered")
    before = nodes.first.count()
    cxone.fail("byoc_message", status=429, retry_after=RETRY_SECONDS)
    chat.say("waits", id="m2")
    nodes.first.faults(before, "not_posted")
    os.kill(first.program.pid, signal.SIGSTOP)  # it would post the message again, without a question
    nodes.moved(chat)
    assert chat.at_desk(2) == ["heard", "waits"]
    os.kill(first.program.pid, signal.SIGCONT)
    first.wait_for_metric(0, "sipbridge_chats_active")
    nodes.both_are_there()
    chat.say("after", id="m3")
    assert chat.at_desk(3) == ["heard", "waits", "after"]
    nodes.end(chat)


def call(site: ChatSite, folder: Path) -> Sipp:
    """Place a call that keeps a drain going."""
    keys = {"token": token("voice"), "contact_id": "115700000001", "main_contact_id": "115700000000"}
    options = call_options(hold_seconds=CALL_SECONDS)
    return Sipp("caller_hangs_up", folder, remote=site.bridge.sip, number=NUMBER, keys=keys, options=options)


def test_a_node_that_drains_hands_its_chats_over_while_its_calls_go_on(nodes: Nodes, tmp_path: Path) -> None:
    first = nodes.first.bridge
    chat = nodes.first.active()
    relay_before(chat)
    with call(nodes.first, tmp_path) as caller:
        first.wait_for_metric(1, "sipbridge_calls_active")
        first.program.terminate()
        nodes.moved(chat)
        assert first.calls_in_progress() == 1
        assert nodes.redis.run("KEYS", "sipbridge:chats-waiting") == []
        chat.desk.say(chat.conversation, "meanwhile")
        check_relayed(chat)
        caller.check()
    assert first.program.wait(20) == 0
    assert nodes.redis.run("HLEN", "sipbridge:nodes") == 1


async def test_an_open_screen_pop_page_follows_its_chat_to_another_node(nodes: Nodes, tmp_path: Path) -> None:
    first = nodes.first.bridge
    chat = await to_thread(nodes.first.active)
    (shown,) = nodes.first.desk.chats(contains=chat.id)
    url = first.http + urlsplit(shown["fields"]["pop"]).path
    async with opened_page(url, tmp_path / "browser") as page:
        await page.until("document.getElementById('live').textContent === 'Live'")
        with call(nodes.first, tmp_path) as caller:
            await to_thread(first.wait_for_metric, 1, "sipbridge_calls_active")
            first.program.terminate()
            await to_thread(nodes.moved, chat)
            await to_thread(chat.reported, "goes on")
            await page.until("document.querySelector('#log > :last-child .text')?.textContent === 'goes on'")
            await to_thread(caller.check)
    await to_thread(nodes.end, chat)


def test_chats_wait_for_the_next_start_if_no_node_can_take_them(nodes: Nodes, tmp_path: Path) -> None:
    chat = nodes.first.active()
    relay_before(chat)
    chat.stack.close()
    nodes.second.bridge.program.stop()
    nodes.first.bridge.program.stop()
    chat.desk.say(chat.conversation, "meanwhile")
    assert nodes.redis.run("ZCARD", "sipbridge:chats-waiting") == 1
    assert nodes.redis.run("EXISTS", "sipbridge:nodes") == 0
    with bridge(node_settings(tmp_path, nodes.first.cxone, nodes.redis, "node-3"), tmp_path, name="node-3") as third:
        chat.project = ChatSite(third, nodes.first.cxone).project()
        third.wait_for_metric(1, "sipbridge_chats_active")
        chat.listen()
        check_relayed(chat)
        chat.stack.close()


def test_another_node_goes_on_with_the_chat_of_a_killed_one(nodes: Nodes) -> None:
    chat = nodes.first.active()
    relay_before(chat)
    nodes.first.bridge.program.kill()
    chat.desk.say(chat.conversation, "meanwhile")
    chat.project = nodes.second.project()
    refused = chat.project.request(f"chats/{chat.id}/messages", "POST", {"text": "after", "id": "m2"})
    assert (refused.status, refused.json()["code"]) == (503, "unavailable")
    nodes.moved(chat)
    check_relayed(chat)


@pytest.mark.timeout(240)
def test_chats_survive_each_harm_and_no_message_is_lost_doubled_or_overtaken(tmp_path: Path) -> None:
    reports: list[str] = []
    tally = run_moves(tmp_path, rounds=4, chats=6, seed=3, report=reports.append)
    assert tally.harms == {"killed": 1, "restarted": 1, "stopped": 1, "drained": 1}
    assert set(tally.kinds) == {"dfo", "byoc", "patron"}
    assert tally.messages >= tally.ended.total() * 2 * 12
