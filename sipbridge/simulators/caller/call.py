"""One call to the bridge as CXone's trunk makes it: INVITE to BYE, with the REFER of a handoff."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from .audio import Audio, description, direction_for
from .connection import Connection
from .messages import Headers, SipMessage, format_message, format_response

_T1_SECONDS, _T2_SECONDS = 0.5, 4.0  # RFC 3261, 17.1
_MAX_SECONDS = 32.0  # 64 * T1; an agent has answered before
_GOODBYE_SECONDS = 2.0
_FINAL, _REJECTED = 200, 300
_SUPPORTED = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, REFER, NOTIFY"
_SDP = ("Content-Type", "application/sdp")


@dataclass(frozen=True, slots=True)
class Dialled:
    """The variable parts of the INVITE: the Request-URI, the caller's number, and headers of the trunk."""

    uri: str
    caller: str
    headers: Sequence[tuple[str, str]]


class Call:
    """One call. `messages` has all SIP messages so far, each once; `ended` is set by the first BYE, or by a failure."""

    def __init__(self, connection: Connection, audio: Audio, dialled: Dialled) -> None:
        self.messages: list[SipMessage] = []
        self.ended = asyncio.Event()
        self.failure: OSError | None = None
        self._connection = connection
        self._audio = audio
        self._dialled = dialled
        self._host, self._port = connection.local
        self._call_id = f"{secrets.token_hex(12)}@{self._host}"
        self._tag = secrets.token_hex(6)
        self._to = f"<{dialled.uri}>"
        self._target = dialled.uri
        self._routes: list[str] = []
        self._numbers = itertools.count(1)
        self._ack = ""
        self._is_over = False
        self._responses: dict[str, asyncio.Queue[SipMessage | OSError]] = {}
        self._answered: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def place(self) -> SipMessage:
        """Send the INVITE and return its final response, acknowledged.

        Raises `OSError` if there is none, and `ValueError` if the answer has no audio of ours.
        """
        self._start(self._read())
        offer = description(self._host, self._audio.port)
        response = await self._request("INVITE", [*self._dialled.headers, _SDP], offer)
        self._to = response.header("To")
        self._is_over = response.status >= _REJECTED
        if not self._is_over:
            self._target = _uri_of(response.header("Contact")) or self._target
            self._routes = response.route_set()
        self._ack = self._format("ACK", 1, branch=self._branch if self._is_over else None)
        self._send(self._ack)
        if not self._is_over:
            self._audio.connect(response.body)
            self._start(self._audio.run())
        return response

    async def hang_up(self) -> None:
        """Send BYE, unless the call has ended; return after its response."""
        if not self._is_over:
            self._is_over = True
            await self._request("BYE")
            self.ended.set()

    async def close(self) -> None:
        """End the call if it is in progress, and close its connection and its audio."""
        if self.messages and not self._ack and not self.failure:
            self._send(self._format("CANCEL", 1, branch=self._branch))
        elif self._ack:
            with suppress(OSError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await self.hang_up()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._connection.close()
        self._audio.close()

    async def _request(self, method: str, headers: Headers = (), body: str = "") -> SipMessage:
        """Send a request and return its final response. Over UDP it is sent again until there is one.

        Raises `OSError` if the connection fails, or if there is no final response for 32 s.
        """
        if self.failure:
            raise self.failure
        number = next(self._numbers)
        text = self._format(method, number, headers, body)
        queue = self._responses[f"{number} {method}"] = asyncio.Queue()
        self._send(text)
        repeating = asyncio.create_task(self._repeat(text)) if self._connection.transport == "udp" else None
        try:
            async with asyncio.timeout(_MAX_SECONDS):
                while True:
                    response = await queue.get()
                    if isinstance(response, OSError):
                        raise response
                    if repeating and (method == "INVITE" or response.status >= _FINAL):
                        repeating.cancel()
                    if response.status >= _FINAL:
                        return response
        finally:
            if repeating:
                repeating.cancel()

    async def _repeat(self, text: str) -> None:
        for wait in (*(_T1_SECONDS * 2**power for power in range(3)), *itertools.repeat(_T2_SECONDS, 6)):
            await asyncio.sleep(wait)
            self._connection.send(text)

    async def _read(self) -> None:
        """Handle each message of the bridge, until the connection fails."""
        try:
            while True:
                text = (await self._connection.receive()).replace("\r\n", "\n")
                if text.strip():
                    self._handle(SipMessage(datetime.now(UTC), sent=False, text=text))
        except OSError as error:
            self.failure = error
            self.ended.set()
            for queue in self._responses.values():
                queue.put_nowait(error)

    def _handle(self, message: SipMessage) -> None:
        if message.status:
            self._handle_response(message)
        elif (answer := self._answered.get(_transaction_of(message))) is not None:
            self._connection.send(answer)  # it was repeated
        else:
            self.messages.append(message)
            self._handle_request(message)

    def _handle_response(self, message: SipMessage) -> None:
        cseq = message.header("CSeq")
        if self._ack and cseq == "1 INVITE":
            self._connection.send(self._ack)  # the 200 was repeated
        elif (queue := self._responses.get(cseq)) and all(message.text != each.text for each in self.messages):
            self.messages.append(message)
            queue.put_nowait(message)

    def _handle_request(self, message: SipMessage) -> None:
        match message.method:
            case "ACK":
                return
            case "BYE":
                self._respond(message, "200 OK")
                self._is_over = True
                self.ended.set()
            case "INVITE" | "UPDATE" if message.body:
                with suppress(ValueError):
                    self._audio.connect(message.body)
                answer = description(self._host, self._audio.port, direction_for(message.body))
                self._respond(message, "200 OK", [_SDP], answer)
            case "INVITE":
                self._respond(message, "200 OK", [_SDP], description(self._host, self._audio.port))
            case "REFER":
                self._respond(message, "202 Accepted")
                self._start(self._notify())
            case method if method in _SUPPORTED.split(", "):
                self._respond(message, "200 OK")
            case _:
                self._respond(message, "405 Method Not Allowed", [("Allow", _SUPPORTED)])

    async def _notify(self) -> None:
        """Report that the transfer was accepted (RFC 3515, 2.4.5)."""
        for state, outcome in (("active;expires=60", "100 Trying"), ("terminated;reason=noresource", "200 OK")):
            event = [("Event", "refer"), ("Subscription-State", state), ("Content-Type", "message/sipfrag")]
            with suppress(OSError):
                await self._request("NOTIFY", event, f"SIP/2.0 {outcome}\r\n")

    def _respond(self, request: SipMessage, status: str, headers: Headers = (), body: str = "") -> None:
        text = format_response(request, status, self._tag, [("Contact", self._contact), *headers], body)
        self._answered[_transaction_of(request)] = text
        self._send(text)

    def _send(self, text: str) -> None:
        """Send a message for the first time."""
        self.messages.append(SipMessage(datetime.now(UTC), sent=True, text=text.replace("\r\n", "\n")))
        self._connection.send(text)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def _branch(self) -> str:
        """The branch of the INVITE, which its CANCEL and the ACK of its rejection have too."""
        return _branch_of(self.messages[0])

    @property
    def _contact(self) -> str:
        return f"<sip:cxone@{self._host}:{self._port};transport={self._connection.transport}>"

    def _format(
        self, method: str, number: int, headers: Headers = (), body: str = "", branch: str | None = None
    ) -> str:
        """Return a request of this call. CANCEL and the ACK of a rejection have the branch of their INVITE.

        RFC 3261, 9.1 and 17.1.1.3.
        """
        branch = branch or f"z9hG4bK{secrets.token_hex(8)}"
        common = (
            ("Via", f"SIP/2.0/{self._connection.transport.upper()} {self._host}:{self._port};rport;branch={branch}"),
            ("From", f"<sip:{self._dialled.caller}@{self._host}>;tag={self._tag}"),
            ("To", self._to),
            ("Call-ID", self._call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", self._contact),
            ("Max-Forwards", "70"),
            *(("Route", proxy) for proxy in self._routes),
        )
        return format_message(f"{method} {self._target} SIP/2.0", [*common, *headers], body)


def _transaction_of(request: SipMessage) -> str:
    """Return what a repeated request has in common with the first (RFC 3261, 17.2.3)."""
    return f"{request.header('CSeq')} {_branch_of(request)}"


def _branch_of(message: SipMessage) -> str:
    found = re.search(r";branch=([^;,\s]+)", message.header("Via"))
    return found[1] if found else ""


def _uri_of(contact: str) -> str:
    """Return the URI of a Contact header."""
    found = re.search(r"<([^>]*)>", contact)
    return found[1] if found else contact.partition(";")[0].strip()
