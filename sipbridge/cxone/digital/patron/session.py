"""One patron chat: started once, then long polls whose session id changes with each response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime

from sipbridge.chats.happenings import (
    ChannelFailed,
    ChannelStateChanged,
    ChannelUnreachable,
    ExpiryNear,
)
from sipbridge.chats.model import ChatRecord, DeliveryStatus
from sipbridge.chats.ports import Outgoing, Report
from sipbridge.cxone.digital.patron.inbound import Inbound
from sipbridge.cxone.digital.patron.rest import PatronRest, messages_of
from sipbridge.cxone.digital.values import Json, list_of, text_of
from sipbridge.errors import HttpError, HttpNotReached

PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
ECHO_SECONDS = 5.0  # for the echo of a text whose response was lost
RENEWAL_SECONDS = 5.0  # for another session id, after a request with the present one was refused
CONTACT_SECONDS = 3600.0  # CXone ends a patron chat after an hour, with its token
EXPIRY_WARNING_SECONDS = 300.0
LOST_SECONDS = 600.0
MAX_PARAMETERS = 99
_OK, _NOT_MODIFIED, _NOT_FOUND, _BUSY = 200, 304, 404, 429
_DELIVERED = (DeliveryStatus.DELIVERED, "")


class PatronSession:
    """Implements `chats.ports.ChannelSession`.

    What a later run needs is in `channel_state`: if the start was requested, the newest session id, the messages that
    came with it, since CXone sends them only once, the id of the text that is being sent, and if the closing text was.
    """

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
        self._starting = state.get("starting") is True
        self._session = text_of(state.get("session"))
        self._contact_id = text_of(state.get("contact_id"))
        self._resumed = bool(self._session)
        self._batch = list_of(state.get("batch"))
        self._sending = text_of(state.get("sending"))
        self._closing = state.get("closing") is True
        self._sent_ids: set[str] = set()  # texts that CXone may have
        customer = record.customer
        self._label = f"{customer.first_name} {customer.last_name}".strip() or "Customer"
        self._inbound = Inbound(report, self._label, joined=record.active_at is not None)
        self._is_open = asyncio.Event()  # CXone takes texts: the chat waits for a human agent, or has one
        self._renewed = asyncio.Event()
        if self._session:
            self._is_open.set()

    # ------------------------------------------------------------ the connection

    async def run(self) -> None:
        """Start the chat unless it was started before, then poll it until it is over."""
        if not self._session and not await self._start():
            return
        loop = asyncio.get_running_loop()
        left = CONTACT_SECONDS - (datetime.now(UTC) - self._record.started_at).total_seconds()
        expiry = loop.call_later(max(0.0, left - EXPIRY_WARNING_SECONDS), self._warn)
        try:
            if not self._inbound.handle(self._batch, self._contact_id, self._session):
                await self._poll()
        finally:
            expiry.cancel()

    def _warn(self) -> None:
        left = CONTACT_SECONDS - (datetime.now(UTC) - self._record.started_at).total_seconds()
        self._report(ExpiryNear(max(0, round(left))))

    async def _start(self) -> bool:
        """Start the chat; return False if it was refused, or if it is not known whether it was started.

        A chat whose session id was lost cannot be found, and another one would call a second human agent.
        """
        if self._starting:
            self._report(ChannelFailed("start_unknown"))
            return False
        fields = self._record.custom_fields
        parameters = [fields.get(name, "") for name in _parameter_names(fields)]
        self._starting = True
        await self._keep_state()
        pause = PAUSE_SECONDS
        while True:
            asked = 0.0
            try:
                response = await self._rest.start(parameters, self._record.customer.email)
                if response.status in (200, 202):
                    body = response.json_object("the start of a chat")
                    self._session = text_of(body.get("chatSessionId")) or text_of(body.get("chatSession"))
                    self._contact_id = text_of(body.get("contactId"))
                    await self._keep_state()
                    return True
                if response.status < 500 and response.status != _BUSY:  # noqa: PLR2004 (a refusal)
                    self._report(ChannelFailed("refused"))
                    return False
                self._report(ChannelUnreachable("unreachable"))
                asked = min(response.retry_after or 0.0, MAX_PAUSE_SECONDS)
            except HttpNotReached as error:
                self._fault("not_started", f"the chat was not started yet: {error}")
                self._report(ChannelUnreachable("unreachable"))
            except HttpError as error:
                self._fault("start_unknown", f"the response to the start of the chat was lost: {error}")
                self._report(ChannelFailed("start_unknown"))
                return False
            await asyncio.sleep(max(asked, pause))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _poll(self) -> None:
        """Poll until the chat is over, or cannot be polled for ten minutes."""
        loop = asyncio.get_running_loop()
        # The last run may have ended before it stored the session id of a response.
        pause, polled_at, lost = PAUSE_SECONDS, loop.time(), self._resumed
        while loop.time() - polled_at < LOST_SECONDS:
            asked = 0.0
            try:
                response = await self._rest.poll(self._session)
            except HttpError as error:
                lost = lost or not isinstance(error, HttpNotReached)
                self._fault("not_polled", f"the chat was not polled: {error}")
            else:
                session, messages = messages_of(response)
                if response.status in (_OK, _NOT_MODIFIED, _NOT_FOUND) or messages:
                    if await self._polled(session, messages):
                        return
                    if response.status == _NOT_FOUND:
                        self._report(self._inbound.end(lost=lost))
                        return
                    pause, polled_at, lost = PAUSE_SECONDS, loop.time(), False
                    continue
                self._fault("not_polled", f"CXone responded to a poll with {response.status}")
                asked = min(response.retry_after or 0.0, MAX_PAUSE_SECONDS)
            await asyncio.sleep(max(asked, pause))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
        self._report(ChannelFailed("channel_lost"))

    async def _polled(self, session: str, messages: list[Json]) -> bool:
        """Keep the new session id and the messages, then report these; return True if the chat is over."""
        if session and session != self._session:
            self._session, self._batch = session, messages
            self._renewed.set()
            await self._keep_state()
        is_over = self._inbound.handle(messages, self._contact_id, session)
        self._batch = []
        if not is_over:
            self._is_open.set()
        return is_over

    async def _keep_state(self) -> None:
        """Store what a later run needs; return once it is stored."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state = {
            "starting": self._starting,
            "session": self._session,
            "contact_id": self._contact_id,
            "batch": self._batch,
            "sending": self._sending,
            "closing": self._closing,
        }
        self._report(ChannelStateChanged(state, stored))
        await stored

    # ------------------------------------------------------------ to the human agent

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        """Send a text. It has no id at CXone, so a lost response leaves only its echo to show that it arrived."""
        await self._is_open.wait()
        if message.repeated and self._sending == message.id:
            return DeliveryStatus.UNKNOWN, "restarted"
        self._sending = message.id
        await self._keep_state()
        text = "\n".join([message.text, *(each.url for each in message.attachments)]).strip()
        pause = PAUSE_SECONDS
        while True:
            asked = 0.0
            echo, session = self._inbound.expect_echo(text), self._session
            self._sent_ids.add(message.id)
            try:
                response = await self._rest.send_text(session, self._label, text)
            except HttpNotReached as error:
                self._fault("not_sent", f"a text was not sent yet: {error}")
            except HttpError:
                return _DELIVERED if await _has_arrived(echo) else (DeliveryStatus.UNKNOWN, "no_response")
            else:
                if response.status < 300:  # noqa: PLR2004 (a success)
                    return _DELIVERED
                if response.status >= 500:  # noqa: PLR2004 (an error of the server, which may have done it)
                    unknown = (DeliveryStatus.UNKNOWN, f"response_{response.status}")
                    return _DELIVERED if await _has_arrived(echo) else unknown
                if response.status == _NOT_FOUND and await self._is_renewed(session):
                    continue
                if response.status != _BUSY:
                    return DeliveryStatus.FAILED, f"refused_{response.status}"
                asked = min(response.retry_after or 0.0, MAX_PAUSE_SECONDS)
            self._sent_ids.discard(message.id)  # CXone has taken nothing of it
            await asyncio.sleep(max(asked, pause))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    def may_have(self, message: Outgoing) -> bool:
        """True if a text was sent, or if an earlier run was about to send it."""
        return message.id in self._sent_ids or (message.repeated and message.id == self._sending)

    async def _is_renewed(self, session: str) -> bool:
        """True if there is another session id than this one, or soon: then this one is not valid any more."""
        if self._session == session:
            self._renewed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEWAL_SECONDS):
                    await self._renewed.wait()
        return self._session != session

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types."""
        if self._session:
            self._background(self._show_typing(on=on))

    async def _show_typing(self, *, on: bool) -> None:
        session = self._session
        try:
            response = await self._rest.show_typing(session, self._label, on=on)
            if response.status == _NOT_FOUND and await self._is_renewed(session):
                await self._rest.show_typing(self._session, self._label, on=on)
        except HttpError as error:
            self._fault("typing_not_shown", f"typing was not shown: {error}")

    async def end(self, closing_text: str) -> None:
        """End the chat at CXone; before, the human agent gets the text."""
        if not self._session:
            return
        first_time, self._closing = not self._closing, True
        if first_time:  # a later run could not know if the text arrived
            await self._keep_state()
        try:
            if first_time:
                await self._rest.send_text(self._session, self._label, closing_text)
            session = self._session
            response = await self._rest.end(session)
            if response.status == _NOT_FOUND and await self._is_renewed(session):
                await self._rest.end(self._session)
        except HttpError as error:
            self._fault("not_ended", f"the chat was not ended at CXone: {error}")


async def _has_arrived(echo: asyncio.Future[None]) -> bool:
    """True if CXone sends a text back, whose response was lost."""
    await asyncio.wait([echo], timeout=ECHO_SECONDS)
    return echo.done()


def _parameter_names(fields: dict[str, str]) -> list[str]:
    """Return P1, P2, … up to the last one that has a value."""
    names = [f"P{number}" for number in range(1, MAX_PARAMETERS + 1)]
    last = max((number for number, name in enumerate(names, 1) if name in fields), default=0)
    return names[:last]
