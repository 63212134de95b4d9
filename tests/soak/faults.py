"""The faults of a soak: at random, from a seed, during calls."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.harness.web.http import fetch
from tests.harness.worker import Worker

from .chat_channels import KINDS, OWN_FAULTS, Fault, disturb
from .site import SoakSite

# Possible faults of CXone (docs/simulator.md). None makes it accept a Signal twice, or ignore one without an error. Our
# token is never rejected: a Signal with response 401 would then be refused for good, which no count of the simulator
# shows.
CXONE_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("signal", {"status": 429, "retry_after": 1}),
    ("signal", {"status": 429, "retry_after": 30}),
    ("signal", {"status": 503}),
    ("signal", {"status": 500}),
    ("signal", {"status": 302}),
    ("signal", {"status": 404}),
    ("signal", {"status": 200, "body": "<html>"}),
    ("signal", {"latency_seconds": 1}),
    ("signal", {"latency_seconds": 4}),
    ("signal", {"reset": "before"}),
    ("signal", {"reset": "after"}),
    ("signal", {"expire_tokens": True}),
    ("token", {"latency_seconds": 1}),
)
# Faults of the chat gateway (docs/simulator-chat.md). None loses or refuses a message.
GATEWAY_FAULTS: tuple[Fault, ...] = (
    ("drop", {}),
    ("event", {"type": "SendMessage", "drop": "before_record"}),
    ("event", {"type": "SendMessage", "drop": "before_ack"}),
    ("event", {"type": "SendMessage", "no_ack": True}),
    ("event", {"type": "ReconnectConsumer", "error": "ConsumerReconnectionFailed"}),
    ("frame", {"type": "MessageCreated", "duplicates": 2}),
    ("frame", {"type": "MessageCreated", "in_s3": True}),
    ("frame", {"type": "Acknowledged", "latency_seconds": 0.5}),
    ("frame", {"type": "CaseInboxAssigneeChanged", "replace": {"data.inboxAssignee.nickname": "<b>"}}),
    ("connect", {"reset": True}),
)
SIP_GARBAGE = (
    b"",
    b"\x00" * 200,
    b"\xff" * 1400,
    b"INVITE",
    b"INVITE sip:x SIP/2.0\r\n\r\n",
    b"SIP/2.0 200 OK\r\n\r\n",
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\nCall-ID: x\r\n\r\n",
    (
        b"BYE sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK%d\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:x@127.0.0.1>;tag=2\r\nCall-ID: stray-%d\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"
    ),
    (
        b"REGISTER sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKr%d\r\nFrom: <sip:a@b>;tag=1"
        b"\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: register-%d\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    ),
)
HTTP_GARBAGE = (
    b"\x00\x01\x02\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/acme/api/calls/x/handoff HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
)
# A Signal that met an expired token, and then waited for the new one, has ended by then: its time is 3 s.
TOKEN_SECONDS = 5.0
CXONE_WEIGHT, OTHERS_WEIGHT, RELOAD_WEIGHT = 10, 2, 1


class Faults(Worker):
    """Causes a fault about every `every_seconds`, and counts them."""

    def __init__(self, site: SoakSite, seed: int, every_seconds: float) -> None:
        self._site = site
        self._chance = chance = random.Random(seed)  # noqa: S311 (no secret)
        self.done: Counter[str] = Counter()
        self._expires_from = 0.0
        super().__init__("faults", self._cause_random_fault, lambda: chance.expovariate(1 / every_seconds))

    def _cause_random_fault(self) -> None:
        kinds: dict[Callable[[], str], int] = {
            self._fail_cxone: CXONE_WEIGHT,
            self._send_sip: OTHERS_WEIGHT,
            self._send_half_message: OTHERS_WEIGHT,
            self._send_http: OTHERS_WEIGHT,
            self._request_with_wrong_key: OTHERS_WEIGHT,
            self._disturb_chats: OTHERS_WEIGHT,
            self._reload: RELOAD_WEIGHT,
        }
        (kind,) = self._chance.choices(list(kinds), list(kinds.values()))
        self.done[kind()] += 1

    def _fail_cxone(self) -> str:
        if any(fault["endpoint"] in ("signal", "token") for fault in self._site.cxone.faults()):
            # One at a time: a Signal that met two might be refused twice, and the counts would not show it.
            return "CXone: still failing"
        endpoint, fault = self._chance.choice(CXONE_FAULTS)
        if endpoint == "token" or "expire_tokens" in fault:
            if time.monotonic() < self._expires_from:
                return "CXone: still failing"
            self._expires_from = time.monotonic() + TOKEN_SECONDS
        self._site.cxone.fail(endpoint, **fault)
        if endpoint == "token":
            # Otherwise the bridge requests no token until the hour is over.
            self._site.cxone.fail("signal", expire_tokens=True)
        return f"CXone: {endpoint}"

    def _send_sip(self) -> str:
        garbage = self._chance.choice(SIP_GARBAGE)
        if b"%d" in garbage:
            garbage = garbage % (self._chance.getrandbits(30), self._chance.getrandbits(30))
        host, _, port = self._site.bridge.sip.partition(":")
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(garbage, (host, int(port)))
        return "SIP garbage"

    def _send_half_message(self) -> str:
        _send_tcp(self._site.bridge.sip_tcp, b"INVITE sip:x@127.0.0.1 SIP/2.0\r\nContent-Length: 500\r\n\r\nv=0")
        return "half a SIP message, TCP"

    def _send_http(self) -> str:
        _send_tcp(self._site.bridge.http.removeprefix("http://"), self._chance.choice(HTTP_GARBAGE))
        return "HTTP garbage"

    def _request_with_wrong_key(self) -> str:
        fetch(f"{self._site.bridge.http}/v1/acme/api/calls", headers={"x-api-key": "wrong"})
        return "wrong API key"

    def _disturb_chats(self) -> str:
        kind = self._chance.choice(KINDS)
        fault = self._chance.choice({"dfo": GATEWAY_FAULTS, **OWN_FAULTS}[kind])
        disturb(self._site.cxone, kind, fault)
        return f"chats, {kind}: {fault[0]}"

    def _reload(self) -> str:
        self._site.reload()
        return "SIGHUP"


def _send_tcp(address: str, data: bytes) -> None:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(data)
