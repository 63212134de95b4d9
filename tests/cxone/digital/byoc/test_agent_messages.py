"""The ids of the human agent's messages, whatever CXone repeats, loses, delays or rewrites."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from sipbridge.chats.attachments import AttachmentContent
from sipbridge.chats.happenings import AgentMessage, ChannelHappening, resolve
from sipbridge.chats.model import Attachment
from sipbridge.cxone.digital.byoc import agent_messages
from sipbridge.cxone.digital.byoc.agent_messages import AgentMessages
from sipbridge.errors import CxoneRefused, HttpWithheld
from tests.store.chats.chats import make_chat


class Contact:
    """A contact at CXone, and the bot. `got` has the texts that the bot got; a known id is dropped, as a chat does."""

    def __init__(self) -> None:
        self.at_cxone: list[dict[str, Any]] = []
        self.keeps_ids = True
        self.refuses = False
        self.withholds = False
        self.fetched: list[str] = []
        self.fetching = asyncio.Event()
        self.fetching.set()
        self.ids: set[str] = set()
        self.got: list[str] = []
        self.faults: list[str] = []
        self.taking = self.restarted()

    def restarted(self) -> AgentMessages:
        self.taking = AgentMessages(
            make_chat(),
            self.report,
            lambda message_id: message_id not in self.ids,
            self.listed,
            self.fetch,
            lambda word, _: self.faults.append(word),
        )
        return self.taking

    def report(self, happening: ChannelHappening) -> None:
        if isinstance(happening, AgentMessage):
            if happening.message_id not in self.ids:
                self.ids.add(happening.message_id)
                self.got.append(happening.text)
            resolve(happening.stored)

    async def listed(self) -> list[dict[str, Any]]:
        if self.refuses:
            raise CxoneRefused(403)
        if self.withholds:
            raise HttpWithheld("another node may do this instead")
        return [{**each} for each in self.at_cxone]

    async def fetch(self, attachment: Attachment) -> AttachmentContent:
        self.fetched.append(attachment.name)
        await self.fetching.wait()
        return AttachmentContent(b"content", "text/plain")

    def say(self, text: str, *files: str) -> dict[str, Any]:
        """Add a message at CXone."""
        message = {
            "direction": "outbound",
            "messageContent": {"type": "TEXT", "payload": {"text": text}},
            "createdAt": "2026-11-28T19:00:00+00:00",
            "attachments": [{"friendlyName": name, "url": f"https://files.example/{name}"} for name in files],
        }
        self.at_cxone.append(message)
        return message

    async def call(self, message: dict[str, Any], *, seen: bool = True) -> str:
        """Call the box; CXone keeps the id if it has seen the response."""
        async with asyncio.timeout(5):
            taken = await self.taking.take({name: message[name] for name in ("messageContent", "attachments")})
        if seen and self.keeps_ids:
            message["idOnExternalPlatform"] = taken.id
        return taken.id


async def test_a_repeated_call_gets_the_same_id() -> None:
    contact = Contact()
    contact.taking.open()
    message = contact.say("ok")
    assert await contact.call(message, seen=False) == await contact.call(message)
    assert contact.got == ["ok"]


async def test_a_second_message_gets_another_id_with_and_without_ids_at_cxone() -> None:
    for keeps_ids in (True, False):
        contact = Contact()
        contact.keeps_ids = keeps_ids
        contact.taking.open()
        assert len({await contact.call(contact.say("ok")) for _ in range(4)}) == 4
        assert contact.got == ["ok"] * 4


async def test_after_a_restart_late_calls_double_and_reorder_nothing() -> None:
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("ok"))
    late = [contact.say(text) for text in ("ok", "b", "ok", "c")]  # CXone calls for these while the bridge is down
    await contact.restarted().recover()
    late += [contact.say(text) for text in ("ok", "d", "ok")]
    ids = [await contact.call(message) for message in late]
    assert contact.got == ["ok", "ok", "b", "ok", "c", "ok", "d", "ok"]
    assert len(set(ids)) == len(ids)
    await contact.restarted().recover()
    assert len(contact.got) == len(contact.at_cxone)


async def test_a_message_whose_call_was_lost_comes_with_the_next_restart() -> None:
    contact = Contact()
    contact.taking.open()
    contact.say("lost")
    await contact.call(contact.say("ok"))
    await contact.restarted().recover()
    assert contact.got == ["ok", "lost"]


async def test_a_text_that_cxone_lists_otherwise_than_it_called_is_known_by_its_id() -> None:
    contact = Contact()
    contact.taking.open()
    message = contact.say("a & b")
    await contact.call(message)
    message["messageContent"] = {"type": "TEXT", "payload": {"text": "a &amp; b"}}
    message["idOnExternalPlatform"] = message["idOnExternalPlatform"].upper()
    await contact.restarted().recover()
    assert contact.got == ["a & b"]


async def test_ids_that_are_not_ours_are_only_texts() -> None:
    contact = Contact()
    for given in ("", None, 7, "x", f"{make_chat('other').uid}.{'0' * 24}.1", f"{make_chat().uid}.short.1"):
        contact.say(f"text {given}")["idOnExternalPlatform"] = given
    await contact.taking.recover()
    assert len(contact.got) == 6


async def test_if_cxone_cannot_be_asked_a_text_is_rather_doubled_than_lost() -> None:
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("ok"))
    contact.refuses = True
    contact.restarted().open_without_recovery()
    await contact.call(contact.say("ok"))
    await contact.call(contact.say("ok"))
    assert contact.got == ["ok"] * 3
    assert contact.faults == ["repeat_unknown"]


async def test_a_call_is_refused_while_another_node_may_have_the_chat() -> None:
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("ok"))
    again = contact.say("ok")
    contact.withholds = True
    with pytest.raises(HttpWithheld):
        await contact.call(again)
    contact.withholds = False
    await contact.call(again)
    await contact.call(contact.say("after"))
    assert contact.got == ["ok", "ok", "after"]
    assert contact.faults == []


async def test_calls_wait_for_the_recovery() -> None:
    contact = Contact()
    message = contact.say("late")
    call = asyncio.create_task(contact.call(message))
    await asyncio.sleep(0)
    assert contact.got == []
    await contact.taking.recover()
    await call
    assert contact.got == ["late"]


async def test_a_message_that_cxone_lists_soon_is_not_taken_for_a_repeated_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_messages, "LAG_SECONDS", (0.0, 0.05))
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("ok"))
    late = contact.say("ok")
    contact.at_cxone.remove(late)
    call = asyncio.create_task(contact.call(late))
    await asyncio.sleep(0.02)
    contact.at_cxone.append(late)
    await call
    assert contact.got == ["ok", "ok"]


async def test_a_message_that_cxone_lists_later_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_messages, "LAG_SECONDS", (0.0,))
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("ok"))
    late = contact.say("ok")
    contact.at_cxone.remove(late)
    await contact.call(late)
    contact.at_cxone.append(late)
    await contact.taking.catch_up()
    assert contact.got == ["ok", "ok"]
    await contact.restarted().recover()
    await contact.call(contact.say("ok"))
    assert contact.got == ["ok"] * 3


async def test_a_call_that_comes_after_its_repetition_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_messages, "LAG_SECONDS", (0.0,))
    contact = Contact()
    contact.taking.open()
    message = contact.say("ok")
    assert await contact.call(message) == await contact.call(message, seen=False)
    assert contact.got == ["ok"]


async def test_a_message_is_taken_even_if_cxone_waits_no_longer() -> None:
    contact = Contact()
    contact.taking.open()
    contact.fetching.clear()
    message = contact.say("the form", "form.pdf")
    call = asyncio.create_task(contact.call(message))
    while not contact.fetched:  # noqa: ASYNC110 (nothing signals it)
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    contact.fetching.set()
    await contact.call(contact.say("next"))
    assert contact.got == ["the form", "next"]


async def test_calls_that_wait_at_the_end_of_the_chat_are_not_taken() -> None:
    contact = Contact()
    call = asyncio.create_task(contact.call(contact.say("late")))
    await asyncio.sleep(0)
    contact.taking.close()
    assert (await asyncio.wait([call], timeout=2))[0]
    with pytest.raises(TimeoutError):
        await call


async def test_the_files_that_the_bot_has_are_not_fetched_again() -> None:
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("the form", "form.pdf"))
    await contact.restarted().recover()
    assert (contact.got, contact.fetched) == (["the form"], ["form.pdf"])


async def test_what_was_not_called_for_is_reported_before_the_end() -> None:
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("hello"))
    late = [contact.say("Bye"), contact.say("Bye")]
    await contact.taking.catch_up()
    for message in late:
        await contact.call(message)
    assert contact.got == ["hello", "Bye", "Bye"]


async def test_a_message_whose_call_was_lost_is_reported_at_the_second_look() -> None:
    contact = Contact()
    contact.taking.open()
    await contact.call(contact.say("one"))
    late, _ = contact.say("late"), contact.say("lost")
    assert await contact.taking.look_for_lost_calls() == 3
    assert contact.got == ["one"], "the calls may be on their way"
    await contact.call(late)
    await contact.taking.look_for_lost_calls()
    assert contact.got == ["one", "late", "lost"]
    await contact.taking.look_for_lost_calls()
    await contact.call(contact.say("next"))
    assert contact.got == ["one", "late", "lost", "next"]


async def test_the_call_for_a_message_that_a_look_has_reported_doubles_nothing() -> None:
    contact = Contact()
    contact.taking.open()
    delayed = contact.say("hello")
    for _ in range(2):
        await contact.taking.look_for_lost_calls()
    await contact.call(delayed)
    assert contact.got == ["hello"]


async def test_a_list_without_a_message_of_a_call_adds_nothing() -> None:
    contact = Contact()
    contact.taking.open()
    called = contact.say("Hello & welcome")
    await contact.call(called, seen=False)
    called["messageContent"]["payload"]["text"] = "Hello &amp; welcome"
    for _ in range(3):
        await contact.taking.look_for_lost_calls()
    assert contact.got == ["Hello & welcome"]


async def test_a_list_in_another_form_than_the_calls_doubles_nothing_at_the_end() -> None:
    contact = Contact()
    contact.keeps_ids = False
    contact.taking.open()
    message = contact.say("a & b")
    await contact.call(message)
    message["messageContent"] = {"type": "TEXT", "payload": {"text": "a &amp; b"}}
    await contact.taking.catch_up()
    assert contact.got == ["a & b"]


@pytest.mark.parametrize("content", [{}, {"type": "TEXT", "payload": []}, {"type": "NEW_KIND", "payload": {"x": 1}}])
async def test_a_message_with_nothing_to_show_is_taken_and_not_reported(content: dict[str, Any]) -> None:
    contact = Contact()
    contact.taking.open()
    message = contact.say("") | {"messageContent": content}
    assert await contact.call(message)
    assert contact.got == []


@pytest.mark.parametrize("seed", range(50))
async def test_whatever_is_lost_repeated_or_late_each_message_arrives_once(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(agent_messages, "LAG_SECONDS", (0.0,))
    chance = random.Random(seed)  # noqa: S311 (no secret)
    contact, said = Contact(), list[dict[str, Any]]()
    contact.taking.open()
    for _ in range(60):
        match chance.choices(("say", "restart", "late call", "look", "catch up"), (60, 15, 10, 10, 5))[0]:
            case "say":
                said.append(contact.say(chance.choice(("ok", "ok", "ok", "yes"))))
                seen, calls = chance.random() < 0.6, chance.choice((0, 1, 1, 1, 2))
                for _ in range(calls):
                    await contact.call(said[-1], seen=seen)
            case "restart":
                await contact.restarted().recover()
            case "late call" if said:
                await contact.call(chance.choice(said[-3:]), seen=False)
            case "look":
                await contact.taking.look_for_lost_calls()
            case "catch up":
                await contact.taking.catch_up()
    await contact.taking.catch_up()
    assert Counter(contact.got) == Counter(each["messageContent"]["payload"]["text"] for each in said)
