"""Free ports, for programs that need a fixed one (SIPp); all others bind port 0.

They are below the range that the kernel assigns from, and each process begins its search at another port, so that
parallel runs rarely try the same one. A program may still lose its port, and its test must handle that.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator

_FIRST, _COUNT = 10_000, 8_000  # up to 17,999; RTP ranges of bridges under test lie above
_RTP_FIRST, _RTP_SIZE = 20_000, 1_000  # twelve ranges, up to 31,999

# For SIPp's audio, RTP and RTCP of two streams; below 8,888, where each SIPp looks for its control port.
_AUDIO_FIRST, _AUDIO_COUNT, _AUDIO_PORTS = 6_000, 2_800, 4

# For called parties that serve one test or many, and do not always listen: no other program gets these meanwhile.
_RESERVED_FIRST, _RESERVED_COUNT = 9_000, 1_000

_offsets = itertools.count(os.getpid() * 997)
_reserved_offsets = itertools.count(os.getpid() * 37)
_ranges = itertools.count(os.getpid())
_audio_offsets = itertools.count(os.getpid() * 52, _AUDIO_PORTS)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free for UDP and TCP at this moment."""
    return _next_free(_offsets, _FIRST, _COUNT)


def reserved_port() -> int:
    """Return a free port that `free_port` does not assign to others: for a called party with a known port."""
    return _next_free(_reserved_offsets, _RESERVED_FIRST, _RESERVED_COUNT)


def audio_port() -> int:
    """Return an even port for SIPp's audio: it and the next ones are free at this moment."""
    for offset in itertools.islice(_audio_offsets, _AUDIO_COUNT // _AUDIO_PORTS):
        first = _AUDIO_FIRST + offset % _AUDIO_COUNT
        if all(map(_is_free, range(first, first + _AUDIO_PORTS))):
            return first
    raise RuntimeError(f"no free ports for audio from {_AUDIO_FIRST} to {_AUDIO_FIRST + _AUDIO_COUNT - 1}")


def rtp_range() -> list[int]:
    """Return the first and last port of a range for a bridge's audio, which two bridges may share."""
    first = _RTP_FIRST + next(_ranges) % 12 * _RTP_SIZE
    return [first, first + _RTP_SIZE - 1]


def free_range(pairs: int) -> list[int]:
    """Return the first and last port of a range of this many pairs, even and odd, that are free at this moment."""
    size = 2 * pairs
    for offset in itertools.islice(_offsets, _COUNT):
        first = _FIRST + offset * size % _COUNT
        if all(map(_is_free, range(first, first + size))):
            return [first, first + size - 1]
    raise RuntimeError(f"no {size} free ports in a row from {_FIRST} to {_FIRST + _COUNT - 1}")


def _next_free(offsets: Iterator[int], first: int, count: int) -> int:
    for offset in itertools.islice(offsets, count):
        port = first + offset % count
        if _is_free(port):
            return port
    raise RuntimeError(f"no free port from {first} to {first + count - 1}")


def _is_free(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(type=socket.SOCK_STREAM) as tcp:
        try:
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
