from __future__ import annotations

import asyncio

import pytest

from sipbridge.simulators.cxone.digital.conversation import Conversation, DeskError
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.events import Event, Forgotten, Opened, PositionChanged
from sipbridge.simulators.cxone.digital.messages import Attachment, Content, Customer

ADA, BEN, _ = DEMO_AGENTS


def opened(desk: Desk, channel: str = "web", customer: str = "customer-1") -> Conversation:
    return desk.open("dfo", channel=channel, thread_id="thread-1", customer=Customer(customer))


def positions(desk: Desk, channel: str = "web") -> list[int | None]:
    return [each.position for each in desk.queue(channel)]


def test_contact_ids_are_numeric_and_distinct() -> None:
    desk = Desk()
    first, second = opened(desk), opened(desk)
    assert first.id.isdecimal()
    assert second.id.isdecimal()
    assert first.id != second.id
    assert desk.get(first.id) is first
    assert desk.get("0") is None


def test_the_listener_of_a_channel_gets_the_events_from_the_first() -> None:
    seen: list[Event] = []
    Desk().open(
        "patron", channel="c", thread_id="t", customer=Customer("c"), listener=lambda _, event: seen.append(event)
    )
    assert seen == [Opened(), PositionChanged(1)]


def test_each_channel_has_its_own_queue() -> None:
    desk = Desk()
    chats = [opened(desk), opened(desk, "other"), opened(desk)]
    assert [chat.position for chat in chats] == [1, 1, 2]


def test_the_queue_moves_up_when_a_conversation_is_accepted_or_closed() -> None:
    desk = Desk()
    first, second, third, fourth = (opened(desk) for _ in range(4))
    second.accept(ADA)
    assert desk.queue("web") == [first, third, fourth]
    first.set_status("closed", by="customer")
    assert desk.queue("web") == [third, fourth]
    assert positions(desk) == [1, 2]
    assert (first.position, second.position) == (None, None)


def test_a_conversation_whose_human_agent_left_goes_to_the_end_of_the_queue() -> None:
    desk = Desk()
    first, second = opened(desk), opened(desk)
    first.accept(ADA)
    first.leave()
    assert desk.queue("web") == [second, first]
    assert positions(desk) == [1, 2]


def test_only_changed_positions_are_events() -> None:
    desk = Desk()
    first, second, third = (opened(desk) for _ in range(3))
    seen: list[tuple[Conversation, Event]] = []
    desk.listeners.append(lambda chat, event: seen.append((chat, event)))
    second.accept(ADA)
    assert [(chat, event) for chat, event in seen if isinstance(event, PositionChanged)] == [
        (third, PositionChanged(2))
    ]
    assert first.position == 1


def test_the_oldest_closed_conversation_is_forgotten_beyond_the_limit() -> None:
    desk = Desk(max_closed=1)
    seen: list[Conversation] = []
    desk.listeners.append(lambda chat, event: seen.append(chat) if isinstance(event, Forgotten) else None)
    first, second, third = (opened(desk) for _ in range(3))
    for chat in (second, first):
        chat.set_status("closed", by="agent")
    assert seen == [second]
    assert desk.conversations() == [first, third]


def test_clearing_forgets_every_conversation_and_empties_the_queue() -> None:
    desk = Desk()
    chats = [opened(desk), opened(desk)]
    seen: list[Conversation] = []
    desk.listeners.append(lambda chat, event: seen.append(chat) if isinstance(event, Forgotten) else None)
    desk.clear()
    assert seen == chats
    assert (desk.conversations(), desk.queue("web")) == ([], [])


def test_a_human_agent_is_found_by_id_or_is_the_first() -> None:
    desk = Desk()
    assert (desk.agent(None), desk.agent(BEN.id)) == (ADA, BEN)
    with pytest.raises(DeskError):
        desk.agent(7)
    with pytest.raises(DeskError):
        Desk([]).agent(None)


async def test_a_wait_ends_when_the_condition_holds() -> None:
    desk = Desk()
    waiting = asyncio.create_task(desk.waiters.wait_until(lambda: len(desk.conversations()) == 2, lambda *_: True, 30))
    for _ in range(2):
        await asyncio.sleep(0)
        assert not waiting.done()
        opened(desk)
    await waiting


async def test_a_wait_ends_at_its_timeout() -> None:
    await Desk().waiters.wait_until(lambda: False, lambda *_: True, 0.01)


async def test_a_wait_is_checked_only_after_events_that_concern_it() -> None:
    desk = Desk()
    checks = 0

    def holds() -> bool:
        nonlocal checks
        checks += 1
        return False

    waiting = asyncio.create_task(desk.waiters.wait_until(holds, lambda chat, _: chat.channel == "other", 0.05))
    await asyncio.sleep(0)
    opened(desk)
    assert checks == 1
    opened(desk, "other")
    await waiting
    assert checks > 1


def test_each_event_of_a_chat_is_announced_without_its_content() -> None:
    said: list[str] = []
    desk = Desk(announce=said.append)
    chat = opened(desk)
    chat.receive(Content.of_text("my secret"), attachments=[Attachment("https://example.com/secret", "secret")])
    chat.accept(ADA)
    chat.say(Content.of_text("a secret, too"))
    chat.receive(Content.of_text("bot's"), direction="outbound")
    chat.set_status("closed", by="customer")
    assert said == [
        f"chat {chat.id}: opened, dfo channel 'web'",
        f"chat {chat.id}: message of the customer, 9 characters, 1 attachments",
        f"chat {chat.id}: open, by the agent",
        f"chat {chat.id}: human agent none → 101",
        f"chat {chat.id}: message of the agent, 13 characters",
        f"chat {chat.id}: message of the bot, 5 characters",
        f"chat {chat.id}: closed, by the customer",
    ]
