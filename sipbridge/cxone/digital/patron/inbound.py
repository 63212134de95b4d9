"""The messages of a patron chat's polls."""

from __future__ import annotations

import asyncio
import hashlib
import html
from collections.abc import Sequence
from datetime import UTC, datetime

from sipbridge.chats.happenings import (
    AgentJoined,
    AgentLeft,
    AgentMessage,
    AgentTyping,
    ChannelFailed,
    ContactClosed,
)
from sipbridge.chats.model import HumanAgent
from sipbridge.chats.ports import Report
from sipbridge.cxone.digital.content import make_agent
from sipbridge.cxone.digital.values import Json, is_true, text_of

_ENDED_TEXT = "$Localized:ChatSessionEnded"
_SYSTEM, _AGENT = "1", "2"
_FIELDS = ("Type", "Status", "Text", "Label", "PartyTypeId")


def message_of(polled: Json) -> Json:
    """Return a message of a poll with the fields that `Inbound` reads, as text.

    The messages are stored with the state of the chat. What CXone sends beside these fields may be impossible to store,
    as half a character or JSON that is nested too deep.
    """
    texts = {name: text_of(polled.get(name)) for name in _FIELDS}
    if is_true(polled.get("IsTyping")):
        texts["IsTyping"] = "True"
    return {name: text for name, text in texts.items() if text}


class Inbound:
    """Reports what a poll brought. `label` is that of the customer, by which the customer's own texts are dropped."""

    def __init__(self, report: Report, label: str) -> None:
        self._report = report
        self._label = _plain(label)
        self._echo: tuple[str, asyncio.Future[None]] | None = None

    def handle(self, messages: Sequence[Json], session: str, number_from: int) -> bool:
        """Report messages; return True if the chat is over, which is reported too.

        `session` names the session id that they came with, and `number_from` is the number of the first among all that
        came with it.
        """
        is_over = False
        for number, message in enumerate(messages, number_from):
            match text_of(message.get("Type")):
                case "Status":
                    is_over = self._status(message) or is_over
                case "Text" | "Ask":
                    is_over = self._text(message, _message_id(session, number)) or is_over
                case "AgentTyping" if not self._is_own(message):
                    self._report(AgentTyping(is_true(message.get("IsTyping"))))
        if is_over:
            self._report(self.end())
        return is_over

    def end(self, *, lost: bool = False) -> ContactClosed | ChannelFailed:
        """Return the end of the chat. `lost`: CXone may only have refused a session id whose successor was lost."""
        return ChannelFailed("channel_lost") if lost else ContactClosed()

    def expect_echo(self, text: str) -> asyncio.Future[None]:
        """Return a future that is resolved when CXone sends this text of the customer back."""
        echo: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._echo = (_plain(text), echo)
        return echo

    def _status(self, message: Json) -> bool:
        status = text_of(message.get("Status"))
        if status == "Active":
            self._report(AgentJoined(_agent(message)))
        elif status == "Waiting":
            self._report(AgentLeft())
        return status == "Disconnected"

    def _text(self, message: Json, message_id: str) -> bool:
        text, party = text_of(message.get("Text")), text_of(message.get("PartyTypeId"))
        if self._is_own(message):
            self._note_echo(text)
        elif text == _ENDED_TEXT:
            return True
        elif text and not (party == _SYSTEM and text.startswith("$Localized:")):
            # A text of the system is shown too: closed hours, for one, show in no other way.
            agent = None if party == _SYSTEM else _agent(message)
            self._report(AgentMessage(message_id, text, datetime.now(UTC), agent=agent))
        return False

    def _is_own(self, message: Json) -> bool:
        """True for what the customer did: CXone sends it back with the customer's label."""
        return _plain(text_of(message.get("Label"))) == self._label and text_of(message.get("PartyTypeId")) != _AGENT

    def _note_echo(self, text: str) -> None:
        if self._echo is not None and self._echo[0] == _plain(text) and not self._echo[1].done():
            self._echo[1].set_result(None)


def _plain(text: str) -> str:
    """Return a text without what CXone's pages may change in it: white space, and `&amp;` for `&`."""
    return " ".join(html.unescape(text).split())


def _message_id(session: str, number: int) -> str:
    """Return the id of a message, which has none at CXone."""
    return hashlib.blake2b(f"{session} {number}".encode("utf-8", "replace"), digest_size=16).hexdigest()


def _agent(message: Json) -> HumanAgent:
    """Return the human agent of a message. The label may be `name|id`; without an id, the name gives one."""
    name, _, agent_id = text_of(message.get("Label")).partition("|")
    derived = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=6).hexdigest()
    return make_agent(agent_id or derived, name)
