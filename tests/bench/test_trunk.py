from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from .handoff_load import HandoffLoad
from .load import LoadResult

SETUP_SECONDS = 0.02
COPIED = ("Via", "From", "To", "Call-ID", "CSeq")


class Answerer:
    """A bridge of a few lines, on a thread: it answers each INVITE, transfers the call and ends it, or almost.

    `seen` counts the messages that it received: requests by method, responses as `202 REFER`.
    """

    def __init__(
        self,
        *,
        status: str = "200 OK",
        ignored_invites: int = 0,
        ignored_notifies: int = 0,
        refers: int = 1,
        hangs_up: bool = True,
    ) -> None:
        self.seen: Counter[str] = Counter()
        self.contact_ids: list[str] = []
        self._status = status
        self._ignored = {"INVITE": ignored_invites, "NOTIFY": ignored_notifies}
        self._refers = refers
        self._hangs_up = hangs_up
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def run(self, calls: int = 3, silence_seconds: float = 5.0) -> LoadResult:
        """Run calls against it, 20 per second."""
        address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        return HandoffLoad(address, "+19995550001", "secret", "contact", 20, calls, silence_seconds).run(os.getpid())

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(65_535)
            if not data:
                return
            for reply in self._replies(data.decode()):
                self._socket.sendto(reply.encode(), peer)

    def _replies(self, message: str) -> Iterator[str]:
        method = header(message, "CSeq").split()[1]
        if message.startswith("SIP/2.0 "):
            self.seen[f"{message.split()[1]} {method}"] += 1
            return
        self.seen[method] += 1
        if self._ignored.get(method):
            self._ignored[method] -= 1
        elif method == "INVITE":
            self.contact_ids.append(header(message, "X-InContact-ContactId"))
            yield response(message, "100 Trying")
            time.sleep(SETUP_SECONDS)
            yield response(message, self._status)
        elif method == "ACK" and self._status == "200 OK":
            yield from [request(message, "REFER")] * self._refers
        elif method == "NOTIFY":
            yield response(message, "200 OK")
            if self._hangs_up:
                yield request(message, "BYE")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)\r$", message, re.MULTILINE)
    assert found, name
    return found[1]


def response(message: str, status: str) -> str:
    lines = {name: header(message, name) for name in COPIED}
    lines["To"] = lines["To"].partition(";")[0] + ";tag=there"
    return written(f"SIP/2.0 {status}", lines | {"Contact": "<sip:there@127.0.0.1>"})


def request(message: str, method: str) -> str:
    lines = {
        "Via": "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK-there",
        "From": header(message, "To"),
        "To": header(message, "From"),
        "Call-ID": header(message, "Call-ID"),
        "CSeq": f"1 {method}",
    }
    return written(f"{method} sip:cxone@127.0.0.1 SIP/2.0", lines)


def written(start_line: str, lines: dict[str, str]) -> str:
    return "\r\n".join(
        [start_line, *(f"{name}: {value}" for name, value in lines.items()), "Content-Length: 0", "", ""]
    )


def test_each_call_is_a_whole_handoff() -> None:
    with Answerer() as bridge:
        result = bridge.run(calls=3)
    assert (result.calls, result.failed, result.retransmissions) == (3, 0, 0)
    assert bridge.seen == {"INVITE": 3, "ACK": 3, "202 REFER": 3, "NOTIFY": 3, "200 BYE": 3}
    assert bridge.contact_ids == ["contact-0", "contact-1", "contact-2"]


def test_the_time_to_the_answer_has_fractions_of_a_millisecond() -> None:
    with Answerer() as bridge:
        setup = bridge.run().setup
    assert setup.p50 >= 1000 * SETUP_SECONDS
    assert setup.p50 != round(setup.p50)


def test_calls_arrive_at_the_rate() -> None:
    with Answerer() as bridge:
        began = time.monotonic()
        bridge.run(calls=5)
    assert time.monotonic() - began >= 4 / 20


def test_an_invite_without_a_response_is_sent_again_after_half_a_second() -> None:
    with Answerer(ignored_invites=1) as bridge:
        result = bridge.run(calls=1)
    assert (result.failed, result.retransmissions) == (0, 1)
    assert result.setup.p50 >= 500


def test_a_notify_without_a_response_is_sent_again() -> None:
    with Answerer(ignored_notifies=2) as bridge:
        result = bridge.run(calls=1)
    assert (result.failed, result.retransmissions, bridge.seen["NOTIFY"]) == (0, 2, 3)


def test_a_retransmitted_refer_gets_its_response_again_and_no_second_notify() -> None:
    with Answerer(refers=2) as bridge:
        result = bridge.run(calls=1)
    assert result.failed == 0
    assert (bridge.seen["202 REFER"], bridge.seen["NOTIFY"]) == (2, 1)


def test_a_rejected_call_has_failed_and_is_acknowledged() -> None:
    with Answerer(status="503 Service Unavailable") as bridge:
        began = time.monotonic()
        result = bridge.run(calls=2)
    assert result.failed == 2
    assert time.monotonic() - began < 5, "it waited for calls that were over"
    assert bridge.seen == {"INVITE": 2, "ACK": 2}


def test_a_call_that_never_ends_has_failed() -> None:
    with Answerer(hangs_up=False) as bridge:
        assert bridge.run(calls=2, silence_seconds=0.2).failed == 2


def test_the_cost_is_that_of_the_process_by_thread_and_per_call() -> None:
    with Answerer() as bridge:
        result = bridge.run(calls=2)
    assert result.threads["event loop"].cpu_ms > 0
    assert result.threads["event loop"].waits >= 1
