"""The connection of one patron chat: started once, then long polls whose session id changes with each response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from sipbridge.chats.happenings import ChannelFailed, ChannelStateChanged, ChannelUnreachable, ExpiryNear, QueuePosition
from sipbridge.chats.model import ChatRecord
from sipbridge.chats.ports import Report
from sipbridge.cxone.digital.patron.inbound import Inbound
from sipbridge.cxone.digital.patron.rest import PatronRest, is_postponed, messages_of
from sipbridge.cxone.digital.patron.state import PatronState
from sipbridge.cxone.digital.values import Json, text_of
from sipbridge.errors import HttpError, HttpNotReached
from sipbridge.http import Response

PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
RENEWAL_SECONDS = 5.0  # for another session id, after a request with the present one was refused
CONTACT_SECONDS = 3600.0  # CXone ends a patron chat after an hour, with its token
EXPIRY_WARNING_SECONDS = 300.0
LOST_SECONDS = 600.0
MAX_PARAMETERS = 99
_OK, _ACCEPTED, _NOT_MODIFIED, _NOT_FOUND = 200, 202, 304, 404


class PatronConnection:
    """Starts the chat and polls it. `is_open` is set once CXone takes texts: the chat waits for a human agent."""

    def __init__(
        self, rest: PatronRest, record: ChatRecord, inbound: Inbound, report: Report, fault: Callable[[str, str], None]
    ) -> None:
        self._rest = rest
        self._record = record
        self._inbound = inbound
        self._report = report
        self._fault = fault
        self.state = PatronState.of(record.channel_state)
        self._resumed = bool(self.state.session)
        self.is_open = asyncio.Event()
        self._renewed = asyncio.Event()
        self._request = asyncio.Lock()  # held while the start of the chat is requested
        self._is_ending = False
        if self._resumed:
            self.is_open.set()

    async def run(self) -> None:
        """Start the chat unless it was started before, then poll it until it is over."""
        if not self.state.session and not await self._start():
            return
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(max(0.0, self._seconds_left() - EXPIRY_WARNING_SECONDS), self._warn)
        try:
            if not self._report_batch():
                await self._poll()
        finally:
            expiry.cancel()

    async def keep_state(self) -> None:
        """Store what a later run needs; return once it is stored."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._report(ChannelStateChanged(self.state.as_json(), stored))
        await stored

    async def finish_start(self) -> None:
        """Request the start no more, and wait for a request in flight: it may have started the chat."""
        self._is_ending = True
        async with self._request:
            return

    async def is_renewed(self, session: str) -> bool:
        """True if there is another session id than this one, or soon: then this one is not valid any more."""
        if self.state.session == session:
            self._renewed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEWAL_SECONDS):
                    await self._renewed.wait()
        return self.state.session != session

    def _seconds_left(self) -> float:
        return CONTACT_SECONDS - (datetime.now(UTC) - self._record.started_at).total_seconds()

    def _warn(self) -> None:
        self._report(ExpiryNear(max(0, round(self._seconds_left()))))

    # ------------------------------------------------------------ the start

    async def _start(self) -> bool:
        """Start the chat; return False if it was refused, or if it is not known whether it was started.

        A chat whose session id was lost cannot be found, and another one would call a second human agent.
        """
        if self.state.starting:
            self._report(ChannelFailed("start_unknown"))
            return False
        before = await self._rest.queue_count()
        pause = PAUSE_SECONDS
        while True:
            async with self._request:
                if self._is_ending:
                    return False
                asked = await self._request_start()
            if asked is None:
                if self.state.session and before is not None:
                    self._report(QueuePosition(position=before + 1))
                return bool(self.state.session)
            await asyncio.sleep(max(asked, pause))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _request_start(self) -> float | None:
        """Request the start; return the pause that CXone asks for if it has done nothing, and None if it is over."""
        asked = 0.0
        self.state.starting = True
        await self.keep_state()
        try:
            response = await self._rest.start(self._parameters(), self._record.customer.email)
            if response.status in (_OK, _ACCEPTED):
                self._take_start(response)
                await self.keep_state()
                return None
            if not is_postponed(response):
                self._fault("not_started", f"CXone responded to the start of the chat with {response.status}")
                # A server that failed may have started the chat all the same.
                self._report(ChannelFailed("refused" if response.status < 500 else "start_unknown"))  # noqa: PLR2004
                return None
            asked = min(response.retry_after or 0.0, MAX_PAUSE_SECONDS)
        except HttpNotReached as error:
            self._fault("not_started", f"the chat was not started yet: {error}")
        except HttpError as error:
            self._fault("start_unknown", f"the response to the start of the chat was lost: {error}")
            self._report(ChannelFailed("start_unknown"))
            return None
        self._report(ChannelUnreachable("unreachable"))
        self.state.starting = False  # CXone has done nothing, so a later run may start it
        await self.keep_state()
        return asked

    def _parameters(self) -> list[str]:
        """Return P1, P2, … up to the last one that has a value."""
        fields = self._record.custom_fields
        names = [f"P{number}" for number in range(1, MAX_PARAMETERS + 1)]
        last = max((number for number, name in enumerate(names, 1) if name in fields), default=0)
        return [fields.get(name, "") for name in names[:last]]

    def _take_start(self, response: Response) -> None:
        """Note the ids of a chat that was started. Raises `HttpError` if the response has none."""
        body = response.json_object("the start of a chat")
        self.state.session = text_of(body.get("chatSessionId")) or text_of(body.get("chatSession"))
        self.state.contact_id = text_of(body.get("contactId"))
        if not self.state.session:
            raise HttpError("it has no session id")

    # ------------------------------------------------------------ polls

    async def _poll(self) -> None:
        """Poll until the chat is over, or cannot be polled for ten minutes."""
        loop = asyncio.get_running_loop()
        # The last run may have ended before it stored the session id of a response.
        pause, polled_at, lost, not_found = PAUSE_SECONDS, loop.time(), self._resumed, False
        while loop.time() - polled_at < LOST_SECONDS:
            asked, began, session = 0.0, loop.time(), self.state.session
            try:
                response = await self._rest.poll(session)
            except HttpError as error:
                lost = lost or not isinstance(error, HttpNotReached)
                self._fault("not_polled", f"the chat was not polled: {error}")
            else:
                found = messages_of(response)
                if response.status in (_OK, _NOT_MODIFIED, _NOT_FOUND) or found[1]:
                    if await self._polled(*found):
                        return
                    # A 404 may come with another session id, which is tried once.
                    if response.status == _NOT_FOUND and (not_found or self.state.session == session):
                        self._report(self._inbound.end(lost=lost))
                        return
                    pause, polled_at, lost = PAUSE_SECONDS, loop.time(), False
                    not_found = response.status == _NOT_FOUND
                    if not found[1] and polled_at - began < PAUSE_SECONDS:
                        await asyncio.sleep(PAUSE_SECONDS)  # CXone did not wait, so it would be asked without a pause
                    continue
                self._fault("not_polled", f"CXone responded to a poll with {response.status}")
                asked = min(response.retry_after or 0.0, MAX_PAUSE_SECONDS)
            await asyncio.sleep(max(asked, pause))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
        self._report(ChannelFailed("channel_lost"))

    async def _polled(self, session: str, messages: list[Json]) -> bool:
        """Keep the new session id and the messages, then report these; return True if the chat is over."""
        before = self.state.session
        if self.state.take(session, messages):
            if self.state.session != before:
                self._renewed.set()
            await self.keep_state()
        is_over = self._report_batch()
        if not is_over:
            self.is_open.set()
        return is_over

    def _report_batch(self) -> bool:
        """Report the messages of the batch; return True if the chat is over."""
        state = self.state
        is_over = self._inbound.handle(state.batch, f"{state.contact_id} {state.session}", state.batch_from)
        state.clear_batch()
        return is_over
