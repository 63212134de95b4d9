"""The content of the page: a call or chat in the order in which a human agent needs to know it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sipbridge.calls.model import CallRecord
from sipbridge.chats.model import ChatRecord, ChatTurn, Customer
from sipbridge.handoffs.json_values import to_text
from sipbridge.handoffs.record import HandoffRecord, Turn
from sipbridge.web.screen_pop.status import Status, status_of
from sipbridge.web.screen_pop.texts import Texts

# Keys of the agent's data that the page shows at the top if they are there.
NAME_KEYS = ("customer_name", "name")
SUMMARY_KEY = "summary"

Labels = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Field:
    """One value with its label, to be read and copied."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation. `side` is that of the caller or customer, or ours."""

    side: Literal["theirs", "ours"]
    name: str
    text: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class View:
    """The content of the page. `contacts` are the ways to reach the person, `facts` what was done so far."""

    who: str
    contacts: Sequence[Field]
    status: Status
    reason: str
    destination: str
    summary: str
    started_at: datetime
    talked_seconds: float | None
    assistant: str
    last_words: Sequence[Message]
    fields: Sequence[Field]
    ids: Sequence[Field]
    messages: Sequence[Message]


def view_of_call(record: CallRecord, handoff: HandoffRecord, texts: Texts, labels: Labels) -> View:
    """Return the content for a call that was handed off."""
    messages = messages_of(record.transcript, texts)
    who = _name_in(handoff.data) or record.caller or texts.unknown_caller
    return View(
        who=who,
        contacts=_others(who, Field(texts.phone, record.caller)),
        status=status_of(record, texts),
        reason=_reason(handoff.reason, texts),
        destination=handoff.destination,
        summary=_summary_in(handoff.data),
        started_at=record.started_at,
        talked_seconds=(handoff.handoff_at - record.answered_at).total_seconds() if record.answered_at else None,
        assistant=record.project,
        last_words=_last_words(messages, handoff.utterance, texts.roles["agent"]),
        fields=list(_fields(handoff.data, labels)),
        ids=_filled(
            Field(texts.contact_id, record.contact_id),
            Field(texts.main_contact_id, record.main_contact_id),
            Field(texts.shared_id, handoff.shared_id if handoff.shared_id != record.contact_id else ""),
            Field(texts.call_id, record.call_id),
            Field(texts.called, record.dialled),
        ),
        messages=messages,
    )


def view_of_chat(record: ChatRecord, turns: Sequence[ChatTurn], texts: Texts, labels: Labels) -> View:
    """Return the content for a chat. `turns` are those since the handoff, too."""
    handoff, customer = record.handoff, record.customer
    before = messages_of(record.transcript, texts)
    name = _full_name(customer) or _name_in(handoff.data)
    who = name or customer.phone or customer.email or customer.id or texts.unknown_customer
    return View(
        who=who,
        contacts=_others(who, Field(texts.phone, customer.phone), Field(texts.email, customer.email)),
        status=status_of(record, texts),
        reason=_reason(handoff.reason, texts),
        destination="",  # the channel, which is among the ids
        summary=_summary_in(handoff.data),
        started_at=record.started_at,
        talked_seconds=None,
        assistant=record.project,
        last_words=_last_words(before, handoff.utterance, texts.roles["bot"]),
        fields=list(_fields(handoff.data, labels)),
        ids=_filled(
            Field(texts.contact_id, str(record.channel_state.get("contact_id", ""))),
            Field(texts.shared_id, handoff.shared_id if handoff.shared_id != record.chat_id else ""),
            Field(texts.chat_id, record.chat_id),
            Field(texts.channel, record.channel),
        ),
        messages=messages_of(turns, texts),
    )


def messages_of(turns: Sequence[Turn | ChatTurn], texts: Texts) -> list[Message]:
    """Return turns of a call or chat as the page shows them."""
    return [
        Message(
            "theirs" if turn.role in ("caller", "customer") else "ours",
            texts.human if isinstance(turn, ChatTurn) and turn.role == "agent" else texts.roles[turn.role],
            turn.text,
            turn.at,
        )
        for turn in turns
    ]


def _last_words(messages: Sequence[Message], utterance: str, assistant: str) -> list[Message]:
    """Return what the person said last, and the last answer: the utterance of the handoff, if there is one."""
    theirs = next((each for each in reversed(messages) if each.side == "theirs"), None)
    ours = next((each for each in reversed(messages) if each.side == "ours"), None)
    if utterance:
        ours = Message("ours", assistant, utterance, None)
    return [each for each in (theirs, ours) if each is not None]


def _reason(word: str, texts: Texts) -> str:
    """Return the reason as a sentence: one of the bridge's own in the page's language, else the agent's word."""
    return texts.reasons.get(word) or _readable(word)


def _readable(word: str) -> str:
    """Return `asked_for_human` as `Asked for human`. A text with blanks stays as it is."""
    if " " in word.strip():
        return word
    spaced = word.replace("_", " ").replace("-", " ").strip()
    return spaced[:1].upper() + spaced[1:]


def _fields(data: Mapping[str, Any], labels: Labels) -> Iterator[Field]:
    """Yield the agent's data: first what the operator has labelled, in that order, then the rest in the agent's."""
    rest = (name for name in data if name not in labels and name not in (SUMMARY_KEY, *NAME_KEYS))
    for name in (*labels, *rest):
        value = _text(data.get(name))
        if value:
            yield Field(labels.get(name) or _readable(name), value)


def _text(value: object) -> str:
    """Return a value of the agent's data as text, empty if there is nothing to show."""
    return "" if value is None else to_text(value)


def _name_in(data: Mapping[str, Any]) -> str:
    return next((_text(data[key]) for key in NAME_KEYS if isinstance(data.get(key), str)), "")


def _summary_in(data: Mapping[str, Any]) -> str:
    summary = data.get(SUMMARY_KEY)
    return summary if isinstance(summary, str) else ""


def _full_name(customer: Customer) -> str:
    return f"{customer.first_name} {customer.last_name}".strip()


def _filled(*fields: Field) -> list[Field]:
    return [field for field in fields if field.value]


def _others(who: str, *fields: Field) -> list[Field]:
    return [field for field in _filled(*fields) if field.value != who]
