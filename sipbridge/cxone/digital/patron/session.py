"""One patron chat: started once, then long polls whose session id changes with each response."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

from sipbridge.chats.happenings import (
    AgentJoined,
    AgentLeft,
    AgentMessage,
    AgentTyping,
    ChannelFailed,
    ChannelStateChanged,
    ChannelUnreachable,
    ContactClosed,
    ExpiryNear,
)
from sipbridge.chats.model import ChatRecord, DeliveryStatus, HumanAgent
from sipbridge.chats.ports import Outgoing, Report
from sipbridge.cxone.digital.content import make_agent
from sipbridge.cxone.digital.patron.rest import PatronRest, messages_of
from sipbridge.cxone.digital.values import Json, text_of
from sipbridge.errors import HttpError, HttpNotReached

PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
ECHO_SECONDS = 5.0  # for the echo of a text whose response was lost
CONTACT_SECONDS = 3600.0  # CXone ends a patron chat after an hour, with its token
EXPIRY_WARNING_SECONDS = 300
LOST_SECONDS = 600.0
_ENDED_TEXT = "$Localized:ChatSessionEnded"
_SYSTEM, _AGENT = "1", "2"
_OK, _NOT_MODIFIED, _NOT_FOUND, _BUSY = 200, 304, 404, 429


class PatronSession:
    """Implements `chats.ports.ChannelSession`."""

    def __init__(
        self,
        rest: PatronRest,
        record: ChatRecord,
        report: Report,
        fault: Callable[[str, str], None],
        background: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        self._rest = rest
        self._record = record
        self._report = report
        self._fault = fault
        self._background = background
        state = record.channel_state
        self._session = text_of(state.get("session"))
        self._contact_id = text_of(state.get("contact_id"))
        self._sending = text_of(state.get("sending"))
        customer = record.customer
        self._label = f"{customer.first_name} {customer.last_name}".strip() or "Customer"
        self._started = asyncio.Event()
        self._echo: tuple[str, asyncio.Future[None]] | None = None
        self._batch = 0
        if self._session:
            self._started.set()

    # ------------------------------------------------------------ the connection

    async def run(self) -> None:
        """Start the chat unless it was started before, then poll it until it is over."""
        if not self._session and not await self._start():
            return
        loop = asyncio.get_running_loop()
        age = (datetime.now(UTC) - self._record.started_at).total_seconds()
        expiry = loop.call_later(max(0.0, CONTACT_SECONDS - EXPIRY_WARNING_SECONDS - age), self._warn)
        try:
            await self._poll()
        finally:
            expiry.cancel()

    def _warn(self) -> None:
        self._report(ExpiryNear(EXPIRY_WARNING_SECONDS))

    async def _start(self) -> bool:
        """Start the chat; return False if it was refused."""
        fields = self._record.custom_fields
        parameters = [fields.get(name, "") for name in _parameter_names(fields)]
        pause = PAUSE_SECONDS
        while True:
            try:
                response = await self._rest.start(parameters, self._record.customer.email)
                if response.status in (200, 202):
                    body = response.json_object("the start of a chat")
                    self._session = text_of(body.get("chatSessionId")) or text_of(body.get("chatSession"))
                    self._contact_id = text_of(body.get("contactId"))
                    await self._keep_state()
                    self._started.set()
                    return True
                if response.status < 500 and response.status != _BUSY:  # noqa: PLR2004 (a refusal)
                    self._report(ChannelFailed("refused"))
                    return False
                self._report(ChannelUnreachable("unreachable"))
            except HttpNotReached as error:
                self._fault("not_started", f"the chat was not started yet: {error}")
                self._report(ChannelUnreachable("unreachable"))
            except HttpError as error:
                # CXone may have started it, and that chat cannot be found: another one would ring a second human agent.
                self._fault("start_unknown", f"the response to the start of the chat was lost: {error}")
                self._report(ChannelFailed("start_unknown"))
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _poll(self) -> None:
        """Poll until the chat is over, or cannot be polled for ten minutes."""
        loop = asyncio.get_running_loop()
        pause, heard_at = PAUSE_SECONDS, loop.time()
        while loop.time() - heard_at < LOST_SECONDS:
            try:
                response = await self._rest.poll(self._session)
            except HttpError as error:
                self._fault("not_polled", f"the chat was not polled: {error}")
            else:
                if response.status in (_OK, _NOT_MODIFIED, _NOT_FOUND):
                    pause, heard_at = PAUSE_SECONDS, loop.time()
                    session, messages = messages_of(response)
                    if session and session != self._session:
                        self._session = session
                        await self._keep_state()
                    if self._handle(messages) or (response.status == _NOT_FOUND and not session):
                        self._report(ContactClosed())
                        return
                    continue
                self._fault("not_polled", f"CXone responded to a poll with {response.status}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
        self._report(ChannelFailed("channel_lost"))

    async def _keep_state(self) -> None:
        """Store what a later run needs; return once it is stored."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state = {"session": self._session, "contact_id": self._contact_id, "sending": self._sending}
        self._report(ChannelStateChanged(state, stored))
        await stored

    # ------------------------------------------------------------ what CXone sends

    def _handle(self, messages: list[Json]) -> bool:
        """Report the messages of a poll; return True if the chat is over."""
        over = False
        for message in messages:
            party = text_of(message.get("PartyTypeId"))
            match text_of(message.get("Type")):
                case "Status":
                    over = self._status(message) or over
                case "Text" | "Ask":
                    over = self._text(message, party) or over
                case "AgentTyping":
                    self._report(AgentTyping(text_of(message.get("IsTyping")).lower() == "true"))
        return over

    def _status(self, message: Json) -> bool:
        status = text_of(message.get("Status"))
        if status == "Active":
            self._report(AgentJoined(self._agent(message)))
        elif status == "Waiting" and self._batch:
            self._report(AgentLeft())
        self._batch += 1
        return status == "Disconnected"

    def _text(self, message: Json, party: str) -> bool:
        text = text_of(message.get("Text"))
        if text == _ENDED_TEXT:
            return True
        if text_of(message.get("Label")) == self._label and party != _AGENT:
            self._note_echo(text)
        elif text and not (party == _SYSTEM and text.startswith("$Localized:")):
            # A text of the system is shown too: closed hours, for one, show in no other way.
            agent = None if party == _SYSTEM else self._agent(message)
            self._report(AgentMessage(self._id_of(message, text), text, datetime.now(UTC), agent=agent))
        return False

    def _id_of(self, message: Json, text: str) -> str:
        """Return an id of a text: CXone gives none. The same text of the same time is the same message."""
        at = text_of(message.get("Timestamp"))
        key = f"{self._contact_id} {at} {text_of(message.get('Label'))} {text}" if at else str(uuid.uuid4())
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()

    def _agent(self, message: Json) -> HumanAgent:
        """Return the human agent of a message. The label may be `name|id`."""
        name, _, agent_id = text_of(message.get("Label")).partition("|")
        return make_agent(agent_id or text_of(message.get("PartyTypeValue")) or name or "agent", name)

    def _note_echo(self, text: str) -> None:
        if self._echo is not None and self._echo[0] == text and not self._echo[1].done():
            self._echo[1].set_result(None)

    # ------------------------------------------------------------ to the human agent

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        """Send a text. It has no id at CXone, so a lost response leaves only its echo to show that it arrived."""
        await self._started.wait()
        if message.repeated and self._sending == message.id:
            return DeliveryStatus.UNKNOWN, "restarted"
        self._sending = message.id
        await self._keep_state()
        text = "\n".join([message.text, *(each.url for each in message.attachments)]).strip()
        pause = PAUSE_SECONDS
        while True:
            echo: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._echo = (text, echo)
            try:
                response = await self._rest.send_text(self._session, self._label, text)
            except HttpNotReached as error:
                self._fault("not_sent", f"a text was not sent yet: {error}")
            except HttpError:
                await asyncio.wait([echo], timeout=ECHO_SECONDS)
                return (DeliveryStatus.DELIVERED, "") if echo.done() else (DeliveryStatus.UNKNOWN, "no_response")
            else:
                if response.status < 300:  # noqa: PLR2004 (a success)
                    return DeliveryStatus.DELIVERED, ""
                if response.status < 500 and response.status not in (_BUSY, _NOT_FOUND):  # noqa: PLR2004 (a refusal)
                    return DeliveryStatus.FAILED, f"refused_{response.status}"
                if response.status >= 500:  # noqa: PLR2004 (an error of the server, which may have done it)
                    await asyncio.wait([echo], timeout=ECHO_SECONDS)
                    if echo.done():
                        return DeliveryStatus.DELIVERED, ""
                    return DeliveryStatus.UNKNOWN, f"response_{response.status}"
                pause = max(pause, min(response.retry_after or 0.0, MAX_PAUSE_SECONDS))
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types."""
        if self._session:
            self._background(self._show_typing(on=on))

    async def _show_typing(self, *, on: bool) -> None:
        try:
            await self._rest.show_typing(self._session, self._label, on=on)
        except HttpError as error:
            self._fault("typing_not_shown", f"typing was not shown: {error}")

    async def end(self, closing_text: str) -> None:
        """End the chat at CXone; before, the human agent gets the text."""
        try:
            await self._rest.send_text(self._session, self._label, closing_text)
            await self._rest.end(self._session)
        except HttpError as error:
            self._fault("not_ended", f"the chat was not ended at CXone: {error}")


def _parameter_names(fields: dict[str, str]) -> list[str]:
    """Return P1, P2, … up to the last one that has a value."""
    numbers = [int(name[1:]) for name in fields]
    return [f"P{number}" for number in range(1, max(numbers, default=0) + 1)]
