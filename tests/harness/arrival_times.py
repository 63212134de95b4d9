"""The kernel's times of received datagrams: a busy reader does not make them later (socket(7), SO_TIMESTAMPNS)."""

from __future__ import annotations

import socket
import struct

ANCILLARY_BYTES = 64  # for `recvmsg`: the time and one more item

_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; Python has no name for it
_TIMESPEC = struct.Struct("@qq")

Ancillary = list[tuple[int, int, bytes]]


def record_arrivals(receiver: socket.socket) -> None:
    """Let the kernel record the time of each datagram, for `recvmsg`."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def arrival_ns(ancillary: Ancillary) -> int:
    """Return the time of a datagram, as `time.time_ns` counts."""
    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
    return int(seconds * 1_000_000_000 + nanoseconds)
