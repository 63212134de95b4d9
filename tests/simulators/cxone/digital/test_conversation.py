from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from sipbridge.simulators.cxone.digital.conversation import Conversation, DeskError, State
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS
from sipbridge.simulators.cxone.digital.events import (
    AgentTyping,
    AssigneeChanged,
    CustomerTyping,
    Event,
    FieldsChanged,
    MessageAdded,
    MessagesMarked,
    StatusChanged,
)
from sipbridge.simulators.cxone.digital.messages import Attachment, Content, Customer, new_id

ADA, BEN, _ = DEMO_AGENTS


@pytest.fixture
def chat() -> Conversation:
    customer = Customer("customer-1", "Grace", "Hopper")
    return Conversation("4001", kind="dfo", channel="web", thread_id="thread-1", customer=customer, fields={"k": "v"})


@pytest.fixture
def events(chat: Conversation) -> list[Event]:
    seen: list[Event] = []
    chat.listeners.append(lambda _, event: seen.append(event))
    return seen


def test_ids_are_distinct_lower_case_uuids() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(str(uuid.UUID(each)) == each and uuid.UUID(each).version == 4 for each in ids)


def test_a_new_conversation_waits_without_a_human_agent(chat: Conversation) -> None:
    assert (chat.state, chat.status, chat.agent) == (State.WAITING, "new", None)


def test_a_message_of_the_customer_is_added_and_ends_the_typing(chat: Conversation, events: list[Event]) -> None:
    chat.show_customer_typing(on=True)
    file = Attachment("https://example.com/a.png", "a.png", "image/png")
    message = chat.receive(Content.of_text("Hello"), external_id="m-1", attachments=[file])
    assert events == [CustomerTyping(on=True), CustomerTyping(on=False), MessageAdded(message)]
    assert (message.direction, message.external_id, message.content.text) == ("inbound", "m-1", "Hello")
    assert message.attachments == (file,)
    assert message.id != "m-1"


def test_a_message_of_the_bot_is_outbound_without_an_author(chat: Conversation) -> None:
    message = chat.receive(Content.of_text("Welcome"), direction="outbound")
    assert (message.direction, message.author) == ("outbound", None)


def test_accepting_opens_the_contact_and_assigns_the_human_agent(chat: Conversation, events: list[Event]) -> None:
    chat.accept(ADA)
    assert events == [StatusChanged("open", "agent"), AssigneeChanged(ADA, None)]
    assert (chat.state, chat.agent, chat.owner) == (State.ACTIVE, ADA, ADA)


def test_a_message_of_the_human_agent_has_its_author_and_ends_the_typing(
    chat: Conversation, events: list[Event]
) -> None:
    chat.accept(ADA)
    events.clear()
    chat.show_agent_typing(on=True)
    chat.show_agent_typing(on=True)
    message = chat.say(Content.of_text("Hi"))
    assert events == [AgentTyping(ADA, on=True), AgentTyping(ADA, on=False), MessageAdded(message)]
    assert (message.direction, message.author) == ("outbound", ADA)


def test_a_direct_transfer_changes_the_human_agent_at_once(chat: Conversation, events: list[Event]) -> None:
    chat.accept(ADA)
    events.clear()
    chat.transfer(BEN)
    assert events == [AssigneeChanged(BEN, ADA, in_transfer=True)]
    assert chat.state is State.ACTIVE


def test_a_conversation_has_no_human_agent_in_mid_transfer_and_stays_open(
    chat: Conversation, events: list[Event]
) -> None:
    chat.accept(ADA)
    events.clear()
    chat.leave(in_transfer=True)
    assert (chat.state, chat.agent, chat.owner) == (State.WAITING, None, ADA)
    chat.accept(BEN)
    assert events == [AssigneeChanged(None, ADA, in_transfer=True), AssigneeChanged(BEN, None)]


def test_closing_clears_the_fields_of_the_contact_and_keeps_those_of_the_customer(
    chat: Conversation, events: list[Event]
) -> None:
    chat.set_fields({"reason": "billing"}, {"tier": "gold"})
    chat.accept(ADA)
    chat.set_status("closed", by="agent")
    assert FieldsChanged() in events
    assert events[-1] == StatusChanged("closed", "agent")
    assert (chat.fields, chat.customer_fields) == ({}, {"tier": "gold"})
    assert (chat.state, chat.agent, chat.owner, chat.closed_by) == (State.CLOSED, None, ADA, "agent")


@pytest.mark.parametrize("status", ["open", "pending", "escalated", "resolved"])
def test_only_closed_and_trashed_end_a_conversation(chat: Conversation, status: str) -> None:
    chat.set_status(status, by="agent")
    states = [chat.state]
    chat.set_status("trashed", by="agent")
    assert [*states, chat.state] == [State.WAITING, State.CLOSED]


def test_messages_are_marked_once(chat: Conversation, events: list[Event]) -> None:
    message = chat.receive(Content.of_text("Hello"))
    events.clear()
    chat.mark(chat.messages, "seen_by_agent")
    first = message.seen_by_agent_at
    chat.mark(chat.messages, "seen_by_agent")
    assert events == [MessagesMarked((message,), "seen_by_agent")]
    assert first is not None
    assert message.seen_by_agent_at == first


def test_a_late_message_can_follow_the_end(chat: Conversation) -> None:
    chat.accept(ADA)
    chat.set_status("closed", by="agent")
    assert chat.say(Content.of_text("One more thing"), after_close=True).author == ADA


ACTIONS: dict[str, Callable[[Conversation], object]] = {
    "say": lambda chat: chat.say(Content.of_text("Hi")),
    "type": lambda chat: chat.show_agent_typing(on=True),
    "transfer": lambda chat: chat.transfer(BEN),
    "leave": lambda chat: chat.leave(),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_an_action_needs_a_human_agent(chat: Conversation, action: Callable[[Conversation], object]) -> None:
    with pytest.raises(DeskError, match="accept it first"):
        action(chat)


AFTER_THE_END = ACTIONS | {
    "receive": lambda chat: chat.receive(Content.of_text("Hi")),
    "accept": lambda chat: chat.accept(ADA),
    "set_status": lambda chat: chat.set_status("open", by="agent"),
}


@pytest.mark.parametrize("action", AFTER_THE_END.values(), ids=AFTER_THE_END)
def test_an_action_needs_an_open_conversation(chat: Conversation, action: Callable[[Conversation], object]) -> None:
    chat.set_status("closed", by="customer")
    with pytest.raises(DeskError, match="is closed"):
        action(chat)


def test_a_conversation_has_one_human_agent_at_a_time(chat: Conversation) -> None:
    chat.accept(ADA)
    with pytest.raises(DeskError, match="has the conversation already"):
        chat.accept(BEN)
    with pytest.raises(DeskError, match="has the conversation already"):
        chat.transfer(ADA)


def test_the_event_of_a_listeners_action_follows_the_event_that_it_reacts_to(
    chat: Conversation, events: list[Event]
) -> None:
    def reply(chat: Conversation, event: Event) -> None:
        if isinstance(event, AssigneeChanged):
            chat.show_agent_typing(on=True)

    chat.listeners.insert(0, reply)
    chat.accept(ADA)
    assert events == [StatusChanged("open", "agent"), AssigneeChanged(ADA, None), AgentTyping(ADA, on=True)]


def test_a_listener_that_fails_does_not_block_the_events_after_it(chat: Conversation, events: list[Event]) -> None:
    def fail(_: Conversation, __: Event) -> None:
        raise RuntimeError

    chat.listeners.append(fail)
    with pytest.raises(RuntimeError):
        chat.accept(ADA)
    chat.listeners.remove(fail)
    chat.receive(Content.of_text("Hello"))
    assert isinstance(events[-1], MessageAdded)
