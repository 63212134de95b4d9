"""DTMF digits as RTP events (RFC 4733), sent to the address in an SDP."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator

PAYLOAD_TYPE = 101
DIGITS = "0123456789*#ABCD"
_VOLUME = 10
_FRAME = 160  # timestamp units, 20 ms
_DURATION_FRAMES = 5


def media_address(sdp: str) -> tuple[str, int]:
    """Return the address and port of the audio in an SDP."""
    connection = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
    audio = re.search(r"^m=audio (\d+)", sdp, re.MULTILINE)
    if connection is None or audio is None:
        raise ValueError(f"no address of audio in {sdp!r}")
    return connection[1], int(audio[1])


def digit_events(digit: str) -> Iterator[bytes]:
    """Return the payloads of one press, one per packet: growing duration, then the end three times."""
    for frame in range(1, _DURATION_FRAMES + 3):
        end = frame >= _DURATION_FRAMES
        duration = min(frame, _DURATION_FRAMES) * _FRAME
        yield struct.pack("!BBH", DIGITS.index(digit), (0x80 if end else 0) | _VOLUME, duration)


def send_digits(digits: str, to: tuple[str, int]) -> None:
    """Send digits, `*`, `#` or `A` to `D`, all at once, in a stream of their own."""
    with socket.socket(type=socket.SOCK_DGRAM) as out:
        sequence = 0
        for place, digit in enumerate(digits):
            for packet, event in enumerate(digit_events(digit)):
                marker = 0x80 if packet == 0 else 0
                header = struct.pack("!BBHII", 0x80, marker | PAYLOAD_TYPE, sequence, place * 8 * _FRAME, 0x5EED)
                out.sendto(header + event, to)
                sequence += 1
