"""Long, truncated and endless messages over UDP, TCP and TLS: each gets its defined outcome, and calls go on."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.harness.programs.simulator import Simulator
from tests.harness.settings import key, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.sip.raw_sender import RawSender, options
from tests.harness.sip.tls_caller import StreamCaller, connect, offer
from tests.harness.waiting import wait_for
from tests.harness.web.metrics import Metrics

from .secure_site import SecureSite, secure_site
from .site import NUMBERS, Contact, Site

PING, PONG = b"\r\n\r\n", b"\r\n"
TOO_LONG = "the message is longer than 65535 bytes"
STREAMS = pytest.mark.parametrize("kind", ["tcp", "tls"])


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureSite]:
    with secure_site(tmp_path_factory.mktemp("streams"), cxone, srtp="optional") as running:
        yield running


def connect_to(site: SecureSite, kind: str, receive_bytes: int | None = None) -> StreamCaller:
    if kind == "tls":
        return site.connect(receive_bytes=receive_bytes)
    return StreamCaller(site.bridge.sip_tcp, connect(site.bridge.sip_tcp, receive_bytes))


@contextmanager
def call_on(site: SecureSite, kind: str) -> Iterator[StreamCaller]:
    """A call on a connection of its own, which must be up until the test ends it."""
    with connect_to(site, kind) as connection:
        answer, contact = site.invite(connection, offer(9))
        assert answer.status == 200, answer.text
        site.agent.next_call()
        yield connection
        assert site.project.ended_call(contact)["ended_by"] == "caller"


def invite(connection: StreamCaller, *more: str, body: str = "") -> str:
    """An INVITE outside the call, on its connection."""
    text = connection.request("INVITE", "sip:+1@127.0.0.1", 1, {"Contact": "<sip:a@127.0.0.1>"}, body)
    text = re.sub(r"Call-ID: .*\r\n", r"Call-ID: other\r\n", text)
    text = re.sub(r"To: .*\r\n", "To: <sip:b@127.0.0.1>\r\n", text)
    return text.replace("Max-Forwards", "".join(f"{each}\r\n" for each in more) + "Max-Forwards", 1)


def is_closed(tcp: socket.socket) -> bool:
    tcp.settimeout(5)
    try:
        while tcp.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


# ---------------------------------------------------------------- datagrams


def headers_of(contact: Contact, *more: str) -> bytes:
    lines = (
        "From: <sip:caller@127.0.0.1>;tag=1",
        *more,
        f"X-Auth-Token: {token('waiting')}",
        f"X-InContact-ContactId: {contact.id}",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


@pytest.mark.parametrize("size", [5_600, 7_000, 20_000, 64_500], ids=str)
def test_a_datagram_of_any_length_is_read_completely(trunk: Site, size: int) -> None:
    contact = Contact.new()
    padding = [f"X-Data-{each}: {'{}' * 240}" for each in range(size // 500)]
    with RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), headers_of(contact, *padding)).place() as call:
        assert call.status == 200
        assert b"m=audio" in call.answer
        call.end()
    project = trunk.bridge.project("acme", "waiting", key("waiting"))
    assert project.ended_call(contact.id)["ended_by"] == "caller"


@pytest.mark.parametrize("kept", [0.5, 0.9], ids=["in its header", "in its body"])
def test_a_truncated_invite_is_rejected(trunk: Site, kept: float) -> None:
    count = trunk.count()
    headers = headers_of(Contact.new(), "X-Data: " + "a" * 2_000)
    cut: Callable[[bytes], bytes] = lambda message: message[: int(len(message.partition(PING)[0]) * kept)]  # noqa: E731
    if kept > 0.8:
        cut = lambda message: message[:-10]  # noqa: E731
    with RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), headers, alter=cut).place() as call:
        assert call.status == 400
        assert b"\r\nWarning: 399 " in call.answer
    count.grows_by(1, "sipbridge_invites_total", code="400")


@pytest.mark.parametrize("method", [b"INVITE", b"UPDATE", b"INFO", b"REFER", b"MESSAGE", b"OPTIONS", b"BYE"])
def test_a_request_in_a_call_with_a_truncated_header_is_rejected_and_the_call_goes_on(
    trunk: Site, method: bytes
) -> None:
    contact = Contact.new()
    with RawCall(trunk.bridge.sip, NUMBERS["acme"].encode(), headers_of(contact)).place() as call:
        assert call.status == 200
        assert call.altered_request_status(method, lambda message: message.partition(PING)[0] + b"\r\n") == 400
        assert call.altered_request_status(b"OPTIONS", bytes) == 200
        call.end()


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "REGISTER", "CANCEL"])
def test_a_request_outside_a_call_with_a_truncated_header_is_rejected(trunk: Site, method: str) -> None:
    text = options(("127.0.0.1", 9), f"cut-{method}").replace(b"OPTIONS", method.encode())
    assert RawSender(trunk.bridge).final_statuses(text[:-2]) == (400,)


# ---------------------------------------------------------------- connections

LONG: dict[str, Callable[[StreamCaller], str]] = {
    "a long header": lambda connection: invite(connection, "X-Data: " + "d" * 70_000),
    "many headers": lambda connection: invite(connection, *("X-Data: " + "d" * 90 for _ in range(10_000))),
    "a long body": lambda connection: invite(connection, body="b" * 300_000),
}


@STREAMS
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_message_that_is_too_long_is_rejected_and_the_connection_stays_open(
    streams: SecureSite, kind: str, text: Callable[[StreamCaller], str]
) -> None:
    with call_on(streams, kind) as connection:
        connection.socket.sendall(text(connection).encode())
        refused = connection.receive()
        assert (refused.status, refused.header("Call-ID")) == (513, "other")
        assert TOO_LONG in refused.header("Warning")
        assert connection.options() == 200
        assert connection.bye() == 200


ENDLESS: dict[str, Callable[[str], str]] = {
    "no length": lambda text: text.replace("Content-Length: 0\r\n", ""),
    "a negative length": lambda text: text.replace("Content-Length: 0", "Content-Length: -1"),
    "two different lengths": lambda text: text.replace("Content-Length: 0", "l: 5\r\nContent-Length: 0"),
    "not a number": lambda text: text.replace("Content-Length: 0", "Content-Length: zero"),
}


@STREAMS
@pytest.mark.parametrize("alter", ENDLESS.values(), ids=ENDLESS)
def test_a_message_without_a_usable_length_is_rejected_and_its_connection_closed_and_the_call_goes_on(
    streams: SecureSite, kind: str, alter: Callable[[str], str]
) -> None:
    with call_on(streams, kind) as connection:
        connection.socket.sendall(alter(invite(connection)).encode())
        assert connection.receive().status == 400
        assert is_closed(connection.socket)
        connection.reconnect(connect_to(streams, kind).socket)
        assert connection.reinvite(offer(9)).status == 200
        assert connection.bye() == 200
    reason = "closed: the start of its next message could not be found"
    wait_for(lambda: reason in streams.log(), "the log line")


@STREAMS
def test_after_a_connection_was_closed_the_bridge_hangs_up_over_the_callers_new_connection(
    streams: SecureSite, kind: str
) -> None:
    with connect_to(streams, kind) as connection:
        answer, contact = streams.invite(connection, offer(9))
        assert answer.status == 200
        streams.agent.next_call()
        connection.socket.sendall(b"\x00junk\r\n\r\n")
        assert is_closed(connection.socket)
        connection.reconnect(connect_to(streams, kind).socket)
        assert connection.reinvite(offer(9)).status == 200
        assert streams.project.request(f"calls/{streams.project.live_call(contact)}/hangup", "POST").status // 100 == 2
        assert connection.answer("BYE").header("Call-ID") == connection.call_id
        assert streams.project.ended_call(contact)["ended_by"] == "api"


@STREAMS
@pytest.mark.parametrize(
    "said",
    [[PING], [b"\r\n", b"\r\n"], [b"\r", b"\n\r", b"\n"], [PING + PING]],
    ids=["at once", "two", "three", "twice"],
)
def test_a_ping_gets_its_pong_at_once(streams: SecureSite, kind: str, said: list[bytes]) -> None:
    with connect_to(streams, kind) as connection:
        for each in said:
            connection.socket.sendall(each)
            time.sleep(0.01)
        expected = PONG * (len(b"".join(said)) // len(PING))
        connection.socket.settimeout(5)
        received = b""
        while len(received) < len(expected):
            received += connection.socket.recv(9)
        assert received == expected
        # A single CRLF gets no pong: the next thing received is the response to the next message.
        connection.socket.sendall(PONG)
        assert connection.options() == 200


def pools_in_use(site: SecureSite) -> float:
    """The memory pools in use now: of the next check of the bridge, which measures the lag of its SIP thread too."""
    lag = site.bridge.metrics().value("sipbridge_sip_thread_lag_seconds")

    def next_check() -> Metrics | None:
        metrics = site.bridge.metrics()
        return metrics if metrics.value("sipbridge_sip_thread_lag_seconds") != lag else None

    return wait_for(next_check, "the next check").value("sipbridge_pjsip_pools_in_use")


@STREAMS
def test_a_peer_that_does_not_read_responses_loses_its_connection_and_their_memory_is_released(
    streams: SecureSite, kind: str
) -> None:
    before = pools_in_use(streams)
    with connect_to(streams, kind, receive_bytes=4_096) as connection:
        connection.socket.settimeout(30)  # a busy bridge reads late
        port = connection.socket.getsockname()[1]
        question = options(("127.0.0.1", port), "unread", transport=connection.transport) * 100

        def is_cut_off() -> bool:
            try:
                connection.socket.sendall(question)
            except (ConnectionError, ssl.SSLEOFError):
                return True
            return False

        wait_for(is_cut_off, "the end of the connection")
        wait_for(lambda: f"port {port}, closed: the peer does not read" in streams.log(), "the log line")
        # Each of the 256 waiting responses had two pools of its own.
        wait_for(lambda: pools_in_use(streams) < before + 20, "the memory to be released")
