"""One patron chat: the customer's texts, typing, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from sipbridge.aio import weakly
from sipbridge.chats.attachments import CheckAttachment
from sipbridge.chats.model import ChatRecord, DeliveryStatus
from sipbridge.chats.ports import Outgoing, Report
from sipbridge.cxone.digital.closing import end_contact, say_last
from sipbridge.cxone.digital.patron.connection import MAX_PAUSE_SECONDS, PAUSE_SECONDS, PatronConnection
from sipbridge.cxone.digital.patron.inbound import Inbound
from sipbridge.cxone.digital.patron.rest import PatronRest, is_postponed
from sipbridge.cxone.digital.typing import Typing
from sipbridge.errors import AttachmentError, CxoneRefused, HttpError, HttpNotReached
from sipbridge.http import Response

ECHO_SECONDS = 5.0  # for the echo of a text whose response was lost
_NOT_FOUND = 404
_DELIVERED = (DeliveryStatus.DELIVERED, "")


class PatronSession:
    """Implements `chats.ports.ChannelSession`."""

    def __init__(
        self,
        rest: PatronRest,
        record: ChatRecord,
        report: Report,
        fault: Callable[[str, str], None],
        background: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        check: CheckAttachment,
    ) -> None:
        self._rest = rest
        self._fault = fault
        self._background = background
        self._check = check
        customer = record.customer
        self._label = f"{customer.first_name} {customer.last_name}".strip() or "Customer"
        self._inbound = Inbound(report, self._label)
        self._connection = PatronConnection(rest, record, self._inbound, report, fault)
        self._state = self._connection.state
        self._in_doubt = ""  # the id of the last text that CXone may have
        self._typing = Typing(weakly(self._show_typing), background, fault)

    async def run(self) -> None:
        """Start the chat unless it was started before, then poll it until it is over."""
        await self._connection.run()

    async def send(self, message: Outgoing) -> tuple[DeliveryStatus, str]:
        """Send a text. It has no id at CXone, so a lost response leaves only its echo to show that it arrived."""
        try:
            for attachment in message.attachments:
                self._check(attachment)
        except AttachmentError as error:
            return DeliveryStatus.FAILED, error.reason
        await self._connection.is_open.wait()
        if self._was_sent(message):
            return (DeliveryStatus.UNKNOWN, "restarted") if message.part == self._state.part else _DELIVERED
        self._state.letter, self._state.part = message.letter, message.part
        await self._connection.keep_state()
        fate = await self._say(message.id, message.text)
        self._typing.message_sent()
        return fate

    def may_have(self, message: Outgoing) -> bool:
        """True if a text was sent, or if an earlier run was about to send it."""
        is_earlier_part = message.letter == self._state.letter and message.part < self._state.part
        # The start of the chat makes the contact, before any text.
        opened = message.opens and self._state.starting
        return opened or message.id == self._in_doubt or is_earlier_part or self._was_sent(message)

    def _was_sent(self, message: Outgoing) -> bool:
        """True if an earlier run sent a text, or was about to: it sent the parts of a message one after the other."""
        return message.repeated and message.letter == self._state.letter and message.part <= self._state.part

    async def _say(self, message_id: str, text: str) -> tuple[DeliveryStatus, str]:
        pause = PAUSE_SECONDS
        while True:
            asked = 0.0
            echo, self._in_doubt = self._inbound.expect_echo(text), message_id
            try:
                response = await self._with_newest_id(lambda session: self._rest.send_text(session, self._label, text))
            except HttpNotReached as error:
                self._fault("not_sent", f"a text was not sent yet: {error}")
            except HttpError:
                return await _fate_by_echo(echo, "no_response")
            else:
                if response.status < 300:  # noqa: PLR2004 (a success)
                    return _DELIVERED
                if not is_postponed(response):
                    if response.status < 500:  # noqa: PLR2004 (a refusal)
                        return DeliveryStatus.FAILED, f"refused_{response.status}"
                    return await _fate_by_echo(echo, f"response_{response.status}")
                asked = min(response.retry_after or 0.0, MAX_PAUSE_SECONDS)
            self._in_doubt = ""  # CXone has taken nothing of it
            await asyncio.sleep(max(asked, pause))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _with_newest_id(self, request: Callable[[str], Awaitable[Response]]) -> Response:
        """Send a request with the newest session id, again if CXone has changed it meanwhile. Raises `HttpError`."""
        while True:
            session = self._state.session
            response = await request(session)
            if response.status != _NOT_FOUND or not await self._connection.is_renewed(session):
                return response

    def set_typing(self, *, on: bool) -> None:
        """Show the human agent that the customer types."""
        if self._state.session:
            self._typing.set(on=on)

    async def _show_typing(self, on: bool) -> None:  # noqa: FBT001 (called with the one argument)
        await self._with_newest_id(lambda session: self._rest.show_typing(session, self._label, on=on))

    def throttle(self, on: bool) -> None:  # noqa: FBT001 (its one argument)
        """Do nothing. A poll waits until the messages of the last one are stored."""

    async def end(self, closing_text: str) -> None:
        """End the chat at CXone; before, the human agent gets the text."""
        await self._connection.finish_start()
        if not self._state.session:
            return
        if not self._state.closing:  # else a run before may have sent the text
            self._state.closing = True
            await self._connection.keep_state()
            await say_last(self._say_quietly(closing_text))
        # In the background, so that it goes on if the chat waits no longer.
        ending = end_contact(self._end, lambda message: self._fault("not_ended", message))
        await asyncio.shield(self._background(ending))

    async def _say_quietly(self, text: str) -> None:
        try:
            await self._with_newest_id(lambda session: self._rest.send_text(session, self._label, text))
        except HttpError as error:
            self._fault("not_sent", f"the closing text was not sent: {error}")

    async def _end(self) -> None:
        """End the chat; CXone does not know one that has ended. Raises `HttpError`."""
        response = await self._with_newest_id(self._rest.end)
        if response.status >= 300 and response.status != _NOT_FOUND:  # noqa: PLR2004 (the first that is no success)
            raise CxoneRefused(response.status, response.retry_after or 0.0)


async def _fate_by_echo(echo: asyncio.Future[None], reason: str) -> tuple[DeliveryStatus, str]:
    """Return the fate of a text whose response was lost: it has arrived if CXone sends it back."""
    await asyncio.wait([echo], timeout=ECHO_SECONDS)
    return _DELIVERED if echo.done() else (DeliveryStatus.UNKNOWN, reason)
