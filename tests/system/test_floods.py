"""Floods over UDP, from strangers and from a trusted source, do not disturb calls in progress."""

from __future__ import annotations

import itertools
import socket
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.simulator import Simulator
from tests.harness.sip.raw_sender import Pinger, address_of
from tests.harness.usage import rss_mb
from tests.harness.waiting import wait_for

from .site import NUMBERS, Site, site

STRANGERS = 200
MESSAGES = 12_000
RATE = 20
BATCH = 50
# One transaction per message would take 40 MB.
REFUSED = 5_000
PROMPT_MS = 500
LOST_MS = 10_000
# One transaction per message would take 100 MB.
MEMORY_MB = 25

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Site]:
    limits = {"trusted_sources": ["127.0.0.1/32", "127.0.0.9/32"], "max_calls_per_second": RATE}
    with site(tmp_path_factory.mktemp("floods"), cxone, sip=limits) as running:
        yield running


def flood(trunk: Site, sources: list[str]) -> Counter[bytes]:
    """Send INVITEs from these addresses, as fast as they are read; return the number of responses by status."""
    where, answered = address_of(trunk.bridge.sip), Counter[bytes]()
    sockets = [bound(source) for source in sources]
    pings: list[float] = []
    with Pinger(trunk.bridge.sip) as pinger:
        for number in range(MESSAGES):
            sender = sockets[number % len(sockets)]
            sender.sendto(invite(sender.getsockname()), where)
            if number % BATCH == BATCH - 1:
                pings.append(pinger.ping() or LOST_MS)
                answered += statuses(sender)
    assert statistics.median(pings) < PROMPT_MS
    assert max(pings) < LOST_MS
    for each in sockets:
        answered += statuses(each)
        each.close()
    return answered


def bound(source: str) -> socket.socket:
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
    udp.bind((source, 0))
    udp.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
    return udp


def statuses(udp: socket.socket) -> Counter[bytes]:
    found = Counter[bytes]()
    while True:
        try:
            found[udp.recv(65_535)[8:11]] += 1
        except BlockingIOError:
            return found


def invite(local: tuple[str, int]) -> bytes:
    number = next(_numbers)
    lines = [
        f"INVITE sip:{NUMBERS['acme']}@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/UDP {local[0]}:{local[1]};rport;branch=z9hG4bK-flood-{number}",
        f"From: <sip:flood@{local[0]}>;tag=flood",
        f"To: <sip:{NUMBERS['acme']}@127.0.0.1>",
        f"Call-ID: flood-{number}",
        "CSeq: 1 INVITE",
        "Contact: <sip:flood@127.0.0.1>",
        "Max-Forwards: 70",
        "X-Auth-Token: nonsense",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("sources", "status"),
    [([f"127.77.{each // 250}.{each % 250 + 1}" for each in range(STRANGERS)], b"403"), (["127.0.0.9"], b"503")],
    ids=["many strangers", "a trusted source over its rate"],
)
def test_a_flood_harms_no_call_and_takes_no_memory(flooded: Site, sources: list[str], status: bytes) -> None:
    count, pid = flooded.count(), flooded.bridge.program.pid
    call = flooded.call("caller_hangs_up", "waiting", hold_seconds=3)
    call.wait_until_answered()
    before = rss_mb(pid)
    answered = flood(flooded, sources)
    assert rss_mb(pid) < before + MEMORY_MB
    assert answered[status] > MESSAGES * 0.9
    # Counted a little after the response.
    metric = "sipbridge_invites_total"
    wait_for(
        lambda: flooded.bridge.metrics().since(count.before, metric, code=status.decode()) >= answered[status],
        "every refusal to be counted",
    )
    assert flooded.call("release").wait_for_scenario().record()["handoff"]["state"] == "handoff_completed"
    assert call.wait_for_scenario().record()["ended_by"] == "caller"


def test_rejections_of_a_trusted_source_within_its_rate_take_no_memory(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as unlimited, bound("127.0.0.1") as udp, Pinger(unlimited.bridge.sip) as pinger:
        pid, where = unlimited.bridge.program.pid, address_of(unlimited.bridge.sip)
        before, answered = rss_mb(pid), Counter[bytes]()
        for number in range(REFUSED):
            method = b"MESSAGE" if number % 2 else b"INVITE"
            udp.sendto(invite(udp.getsockname()).replace(b"INVITE", method), where)
            if number % BATCH == BATCH - 1:
                assert pinger.ping() is not None
                answered += statuses(udp)
        assert answered[b"405"] >= REFUSED / 2
        assert answered[b"403"] >= REFUSED / 2
        assert rss_mb(pid) < before + MEMORY_MB


@pytest.mark.parametrize("size", [5_000, 6_144, 20_000, 65_000], ids=str)
def test_a_long_datagram_is_rejected_like_a_short_one(flooded: Site, size: int) -> None:
    with bound("127.0.0.1") as udp, Pinger(flooded.bridge.sip) as pinger:
        short = invite(udp.getsockname())
        udp.sendto(
            short.replace(b"X-Auth-Token:", b"X-Long: " + b"a" * size + b"\r\nX-Auth-Token:"),
            address_of(flooded.bridge.sip),
        )
        assert pinger.ping() is not None
        assert set(statuses(udp)) <= {b"403", b"503"}
    assert flooded.call("release").wait_for_scenario().record()["handoff"]["state"] == "handoff_completed"
