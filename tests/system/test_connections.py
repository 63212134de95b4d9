"""TCP connections that carry no call are opened and closed during calls."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.harness.programs.bridge import Bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.sip.raw_sender import Pinger, address_of, options
from tests.harness.usage import allow_many_sockets, open_files, rss_mb
from tests.harness.waiting import wait_for

from .site import Site, site

IDLE = 10_000
MAX_CONNECTIONS = 2_000  # sipbridge/sip/endpoint.py
SILENCE_SECONDS = 10  # sipbridge/sip/native/config_site.h
MEMORY_MB = 150


@pytest.fixture(scope="module")
def own_site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Site]:
    allow_many_sockets()
    with site(tmp_path_factory.mktemp("connections"), cxone, sip={"trusted_sources": ["127.0.0.1/32"]}) as running:
        yield running


@contextmanager
def connection(bridge: Bridge, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection(address_of(bridge.sip_tcp), 10, (source, 0)) as tcp:
        yield tcp


def is_closed(tcp: socket.socket) -> bool:
    """True if the bridge has closed the connection; what it sent is discarded."""
    readable = select.poll()  # not select.select: it cannot handle this many descriptors
    readable.register(tcp, select.POLLIN)
    while readable.poll(0):
        try:
            if not tcp.recv(65_535):
                return True
        except ConnectionError:
            return True
    return False


def responds(tcp: socket.socket) -> bool:
    tcp.sendall(options(tcp.getsockname(), "still-there", transport="TCP"))
    tcp.settimeout(5)
    return tcp.recv(65_535).startswith(b"SIP/2.0 200 ")


def test_a_connection_from_an_untrusted_source_is_closed_before_it_sends_a_byte(own_site: Site) -> None:
    with connection(own_site.bridge, "127.0.0.2") as tcp, connection(own_site.bridge) as trusted:
        wait_for(lambda: is_closed(tcp), "the end of the connection", 5)
        assert responds(trusted)


@pytest.mark.timeout(150)
def test_ten_thousand_idle_connections_and_slow_senders_harm_no_call_and_are_closed(own_site: Site) -> None:
    bridge = own_site.bridge
    before, memory = open_files(bridge.program.pid), rss_mb(bridge.program.pid)
    call = own_site.call("caller_hangs_up", "waiting", hold_seconds=4)
    call.wait_until_answered()
    with ExitStack() as stack, Pinger(bridge.sip) as pinger:
        slow = stack.enter_context(connection(bridge))
        send_a_little(slow, 1)
        idle = [stack.enter_context(connection(bridge)) for _ in range(IDLE)]
        pings = [pinger.ping() for _ in range(20)]
        assert None not in pings
        wait_for(lambda: open_files(bridge.program.pid) < before + MAX_CONNECTIONS + 100, "the others to be closed")
        assert rss_mb(bridge.program.pid) < memory + MEMORY_MB
        for transport in ("udp", "tcp"):
            over = own_site.call("release", transport=transport).wait_for_scenario()
            assert over.record()["handoff"]["state"] == "handoff_completed"
        assert call.wait_for_scenario().record()["ended_by"] == "caller"
        slow, half = stack.enter_context(connection(bridge)), stack.enter_context(connection(bridge))
        pinging = stack.enter_context(connection(bridge))
        # It has been answered once, and begins a message that it never completes.
        assert responds(half)
        half.sendall(options(half.getsockname(), "half", transport="TCP")[:-2])

        def all_are_closed() -> bool:
            send_a_little(slow, 1)
            pinging.sendall(b"\r\n\r\n")
            return is_closed(slow) and all(map(is_closed, idle))

        wait_for(all_are_closed, "the end of all of them", SILENCE_SECONDS + 20)
        half.settimeout(5)
        assert half.recv(65_535).startswith(b"SIP/2.0 400 ")
        assert is_closed(half)
        assert not is_closed(pinging)
        assert responds(pinging)
    wait_for(lambda: open_files(bridge.program.pid) <= before + 5, "the earlier number of open files")


def send_a_little(tcp: socket.socket, count: int) -> None:
    """Send a little of a message that never ends."""
    try:
        tcp.sendall(b"O" * count)
    except OSError:
        return
    time.sleep(0.1)


@pytest.mark.parametrize(
    "said",
    [b"OPTIONS sip:a SIP/2.0\r\nX-A: " + b"a" * 100_000, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", os.urandom(20_000)],
    ids=["endless message", "another protocol", "no protocol"],
)
def test_a_connection_that_sends_something_other_than_sip_is_closed(own_site: Site, said: bytes) -> None:
    with connection(own_site.bridge) as tcp, connection(own_site.bridge) as other:
        assert responds(tcp)
        with suppress(ConnectionError):
            tcp.sendall(said)
        wait_for(lambda: is_closed(tcp), "the end of the connection", 5)
        assert responds(other)


def test_several_messages_in_one_segment_and_one_message_in_many_are_both_read(own_site: Site) -> None:
    with connection(own_site.bridge) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        branches = [f"part-{number}" for number in range(20)]
        text = b"\r\n\r\n".join(options(tcp.getsockname(), branch, transport="TCP") for branch in branches)
        tcp.sendall(text[:5_000])
        for at in range(5_000, len(text), 7):
            tcp.sendall(text[at : at + 7])
        received = b""
        tcp.settimeout(10)
        while not all(f"z9hG4bK-{branch}\r\n".encode() in received for branch in branches):
            received += tcp.recv(65_535)
        assert received.count(b"SIP/2.0 200 ") == len(branches)


def test_a_connection_reset_during_a_call_slows_down_no_other_call(own_site: Site) -> None:
    """Its transactions keep it for half a minute, in which PJSIP would sleep 10 ms per poll."""
    bridge = own_site.bridge
    with ExitStack() as stack, Pinger(bridge.sip) as pinger:
        for number in range(20):
            tcp = stack.enter_context(connection(bridge))
            tcp.sendall(REFUSED.replace(b"NUMBER", b"%d" % number))
            assert tcp.recv(65_535)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            tcp.close()
        took = sorted(pinger.ping() or 10_000 for _ in range(50))
        assert took[10] < 8


REFUSED = b"""REGISTER sip:127.0.0.1 SIP/2.0\r
Via: SIP/2.0/TCP 127.0.0.1;rport;branch=z9hG4bK-reset-NUMBER\r
From: <sip:a@127.0.0.1>;tag=a\r
To: <sip:a@127.0.0.1>\r
Call-ID: reset-NUMBER\r
CSeq: 1 REGISTER\r
Content-Length: 0\r
\r
"""


def test_a_host_name_that_does_not_exist_delays_no_other_call(own_site: Site) -> None:
    """DNS may take ten seconds to report it, and so may a name server that does not run."""
    with Pinger(own_site.bridge.sip) as pinger:
        call = own_site.call("caller_unknown_contact_host").wait_for_scenario()
        took = [pinger.ping() or 10_000 for _ in range(100)]
        assert call.record()["handoff"]["state"] == "handoff_completed"
        assert max(took) < 1_000
        assert own_site.call("release").wait_for_scenario().record()["handoff"]["state"] == "handoff_completed"
