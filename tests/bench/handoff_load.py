"""Complete handoffs at a rate, and their cost to the process that serves them."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.harness.arrival_times import record_arrivals
from tests.harness.threads import threads, usage_by_name
from tests.harness.usage import cpu_ms

from .load import LoadResult, Quantiles
from .trunk import Trunk

SILENCE_SECONDS = 20.0  # without any message: the calls that are left have failed
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HandoffLoad:
    """Calls at a rate (per second) to `remote` (`HOST:PORT`), with contact ids that begin with `contact_id`."""

    remote: str
    number: str
    token: str
    contact_id: str
    rate: int
    calls: int
    silence_seconds: float = SILENCE_SECONDS

    def run(self, pid: int) -> LoadResult:
        """Run to the end of the last call; `pid` is the process that serves them."""
        spent_ms, before = cpu_ms(pid), threads(pid)
        with _sockets(self.remote) as (sip, audio), no_collector():
            trunk = Trunk(sip, audio.getsockname()[1], self.number, self.token, self.contact_id)
            trunk.run(self.rate, self.calls, self.silence_seconds)
        usage = usage_by_name(before, threads(pid))
        return LoadResult(
            rate=self.rate,
            calls=self.calls,
            failed=self.calls - trunk.handed_off,
            retransmissions=trunk.retransmissions,
            setup=Quantiles.of(trunk.setup_ms),
            refer=Quantiles.of(trunk.refer_ms),
            cpu_ms_per_call=(cpu_ms(pid) - spent_ms) / self.calls,
            threads={name: used * (1 / self.calls) for name, used in usage.items()},
        )


@contextmanager
def _sockets(remote: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open the socket of the SIP messages, and the one that all calls' audio goes to, which nothing reads."""
    host, _, port = remote.rpartition(":")
    with socket.socket(type=socket.SOCK_DGRAM) as sip, socket.socket(type=socket.SOCK_DGRAM) as audio:
        audio.bind(("127.0.0.1", 0))
        sip.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        record_arrivals(sip)
        sip.connect((host, int(port)))
        sip.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
        yield sip, audio


@contextmanager
def no_collector() -> Iterator[None]:
    """Keep Python's garbage collector from interrupting; what runs meanwhile makes few reference cycles."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
