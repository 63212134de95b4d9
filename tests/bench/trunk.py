"""The trunk of the benchmarks: many handoffs on one UDP socket, timed to a tenth of a millisecond.

A call is INVITE, 200, ACK, REFER, 202, NOTIFY, 200, BYE, 200. Requests are retransmitted, and a retransmitted request
gets its response again (RFC 3261, 17). A time begins just before the request is passed to the kernel, and ends with the
kernel's time of the response: a busy generator adds nothing. SIPp's clock has steps of 1 to 4 ms.
"""

from __future__ import annotations

import heapq
import itertools
import re
import select
import socket
import time
from dataclasses import dataclass, field

from tests.harness.arrival_times import ANCILLARY_BYTES, arrival_ns

T1_NS = 500_000_000  # RFC 3261, 17.1.1.1
T2_NS = 4_000_000_000
_DATAGRAM_BYTES = 65_535
_OK = 200
_REJECTED = 300

_CALL_NUMBER = re.compile(rb"^Call-ID: *(\d+)-", re.MULTILINE)
_METHOD = re.compile(rb"^CSeq: *\d+ ([A-Z]+)", re.MULTILINE)
_TO = re.compile(rb"^To:[^\r]*", re.MULTILINE)
_CONTACT = re.compile(rb"^Contact:[^<\r]*<([^>]*)>", re.MULTILINE)
_COPIED = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")

_REQUEST = (
    b"%(method)s %(target)s SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP %(local)s;branch=z9hG4bK-%(id)s-%(cseq)d-%(branch)s\r\n"
    b"From: <sip:+15550100@%(local)s>;tag=%(id)s\r\n"
    b"%(to)s\r\n"
    b"Call-ID: %(id)s\r\n"
    b"CSeq: %(cseq)d %(method)s\r\n"
    b"Contact: <sip:cxone@%(local)s>\r\n"
    b"Max-Forwards: 70\r\n"
    b"%(headers)s"
    b"Content-Length: %(length)d\r\n"
    b"\r\n"
    b"%(body)s"
)
_OFFER = b"""v=0\r
o=cxone 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio %d RTP/AVP 0 8 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=ptime:20\r
"""
_INVITE_HEADERS = (
    b"X-Auth-Token: %s\r\nX-InContact-ContactId: %s\r\nX-InContact-MasterId: %s\r\nContent-Type: application/sdp\r\n"
)
_NOTIFY_HEADERS = (
    b"Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag;version=2.0\r\n"
)
_TRANSFERRED = b"SIP/2.0 200 OK\r\n"


@dataclass(slots=True)
class _Call:
    """One call. `pending` is the method of our request that has no response yet, empty if there is none."""

    number: int
    id: bytes
    target: bytes
    to: bytes
    invited_ns: int = 0
    acknowledged_ns: int = 0
    pending: bytes = b""
    referred: bool = False
    notified: bool = False
    ended: bool = False  # by BYE or a rejection


@dataclass(order=True, slots=True)
class _Retransmission:
    due_ns: int
    order: int
    call: _Call = field(compare=False)
    method: bytes = field(compare=False)
    message: bytes = field(compare=False)
    interval_ns: int = field(compare=False)


@dataclass
class Trunk:
    """All calls of one run, on a connected socket whose arrival times are recorded; their audio goes to one port.

    `setup_ms` and `refer_ms` have INVITE to 200 and ACK to REFER of each call that came so far.
    """

    sip: socket.socket
    audio_port: int
    number: str
    token: str
    contact_id: str
    setup_ms: list[float] = field(default_factory=list)
    refer_ms: list[float] = field(default_factory=list)
    handed_off: int = 0
    retransmissions: int = 0

    def __post_init__(self) -> None:
        self._local = b"%s:%d" % _address(self.sip.getsockname())
        self._port = self._local.rpartition(b":")[2]
        self._target = b"sip:%s@%s:%d" % (self.number.encode(), *_address(self.sip.getpeername()))
        self._offer = _OFFER % self.audio_port
        self._calls: dict[int, _Call] = {}  # those in progress, by number
        self._timers: list[_Retransmission] = []
        self._order = itertools.count()

    def run(self, rate: int, calls: int, silence_seconds: float) -> None:
        """Place the calls, `rate` per second; return when all are over, or if nothing arrives for too long."""
        began = quiet_since = time.monotonic_ns()
        placed = 0
        while placed < calls or self._calls:
            now = time.monotonic_ns()
            due = began + placed * 1_000_000_000 // rate
            if placed < calls and due <= now:
                self._place(placed)
                placed += 1
                quiet_since = now
            elif self._read():
                quiet_since = now
            else:
                deadline = quiet_since + round(silence_seconds * 1e9)
                if placed == calls and now >= deadline:
                    return
                self._retransmit(now)
                wake = min(due if placed < calls else deadline, self._timers[0].due_ns if self._timers else deadline)
                # `poll` and `epoll_wait` know no fractions of a millisecond.
                select.select([self.sip], [], [], max(0, wake - now) / 1e9)

    # ------------------------------------------------------------ sending

    def _place(self, number: int) -> None:
        to = b"To: <%s>" % self._target
        call = self._calls[number] = _Call(number, b"%d-%s" % (number, self._port), self._target, to)
        contact = b"%s-%d" % (self.contact_id.encode(), number)
        headers = _INVITE_HEADERS % (self.token.encode(), contact, contact)
        invite = self._format(call, b"INVITE", 1, headers, self._offer)
        call.invited_ns = time.time_ns()
        self.sip.send(invite)
        self._await_response(call, b"INVITE", invite)

    def _acknowledge(self, call: _Call, *, rejected: bool = False) -> None:
        """Send the ACK; that of a rejection is part of the INVITE's transaction (RFC 3261, 17.1.1.3)."""
        ack = self._format(call, b"ACK", 1, branch=b"INVITE" if rejected else b"ACK")
        call.acknowledged_ns = call.acknowledged_ns or time.time_ns()
        self.sip.send(ack)

    def _notify(self, call: _Call) -> None:
        notify = self._format(call, b"NOTIFY", 2, _NOTIFY_HEADERS, _TRANSFERRED)
        self.sip.send(notify)
        self._await_response(call, b"NOTIFY", notify)

    def _format(
        self, call: _Call, method: bytes, cseq: int, headers: bytes = b"", body: bytes = b"", branch: bytes = b""
    ) -> bytes:
        return _REQUEST % {
            b"method": method,
            b"target": call.target,
            b"local": self._local,
            b"id": call.id,
            b"cseq": cseq,
            b"branch": branch or method,
            b"to": call.to,
            b"headers": headers,
            b"length": len(body),
            b"body": body,
        }

    def _respond(self, request: bytes, status: bytes) -> None:
        copied = b"".join(line + b"\r\n" for line in request.split(b"\r\n") if line.startswith(_COPIED))
        contact = b"Contact: <sip:cxone@%s>\r\n" % self._local
        self.sip.send(b"SIP/2.0 %s\r\n%s%sContent-Length: 0\r\n\r\n" % (status, copied, contact))

    def _await_response(self, call: _Call, method: bytes, message: bytes) -> None:
        call.pending = method
        due = time.monotonic_ns() + T1_NS
        heapq.heappush(self._timers, _Retransmission(due, next(self._order), call, method, message, T1_NS))

    def _retransmit(self, now: int) -> None:
        while self._timers and self._timers[0].due_ns <= now:
            timer = heapq.heappop(self._timers)
            if timer.call.pending == timer.method:
                self.sip.send(timer.message)
                self.retransmissions += 1
                timer.interval_ns *= 2
                if timer.method != b"INVITE":
                    timer.interval_ns = min(timer.interval_ns, T2_NS)
                timer.due_ns = now + timer.interval_ns
                heapq.heappush(self._timers, timer)

    # ------------------------------------------------------------ receiving

    def _read(self) -> bool:
        """Handle the next message; return False if there is none."""
        try:
            message, ancillary, _, _ = self.sip.recvmsg(_DATAGRAM_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return False
        found = _CALL_NUMBER.search(message)
        call = self._calls.get(int(found[1])) if found else None
        if not message.startswith(b"SIP/2.0 "):
            self._handle_request(call, message, arrival_ns(ancillary))
        elif call:
            self._handle_response(call, message, arrival_ns(ancillary))
        if call and call.ended and not call.pending:
            del self._calls[call.number]
            self.handed_off += call.notified
        return True

    def _handle_request(self, call: _Call | None, request: bytes, at_ns: int) -> None:
        method = request[: request.find(b" ")]
        self._respond(request, b"202 Accepted" if method == b"REFER" else b"200 OK")
        if call and method == b"REFER" and not call.referred:
            call.referred = True
            self.refer_ms.append((at_ns - call.acknowledged_ns) / 1e6)
            self._notify(call)
        elif call and method == b"BYE":
            call.ended = True

    def _handle_response(self, call: _Call, response: bytes, at_ns: int) -> None:
        status = int(response[8:11])
        method = _METHOD.search(response)
        if method and method[1] == b"INVITE":
            self._handle_answer(call, status, response, at_ns)
        elif status >= _OK and call.pending == b"NOTIFY":
            call.pending = b""
            call.notified = status < _REJECTED

    def _handle_answer(self, call: _Call, status: int, response: bytes, at_ns: int) -> None:
        if call.pending == b"INVITE":
            call.pending = b""  # a provisional response ends the retransmissions, too
        if status < _OK:
            return
        is_first = not call.acknowledged_ns
        if is_first:
            to, contact = _TO.search(response), _CONTACT.search(response)
            call.to = to[0] if to else call.to
            call.target = contact[1] if contact and status < _REJECTED else call.target
        if status >= _REJECTED:
            call.ended = True
            self._acknowledge(call, rejected=True)
            return
        self._acknowledge(call)
        if is_first:
            self.setup_ms.append((at_ns - call.invited_ns) / 1e6)


def _address(name: tuple[str, int]) -> tuple[bytes, int]:
    host, port = name
    return host.encode(), port
