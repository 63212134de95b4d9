"""RTP packets that a test makes one by one, with every field of the header (RFC 3550, 5.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.harness.media.g711 import FRAME_BYTES, PCMU


@dataclass(frozen=True)
class Packet:
    """A packet of RTP (RFC 3550, 5.1); `at` is its number, which makes sequence, timestamp and audio."""

    at: int
    audio: bytes
    payload_type: int = PCMU
    timestamp: int | None = None
    padding: int = 0
    extension: bytes = b""
    contributors: tuple[int, ...] = ()
    source: int = 0  # added to that of the case
    sequence: int | None = None

    def encode(self, source: int, first: int) -> bytes:
        """The bytes on the wire; `first` is the sequence number of packet 0."""
        flags = 0x80 | (0x20 if self.padding else 0) | (0x10 if self.extension else 0) | len(self.contributors)
        sequence = (first + self.at if self.sequence is None else self.sequence) & 0xFFFF
        timestamp = (
            0xFFFFFFFF - 2 * FRAME_BYTES + FRAME_BYTES * self.at if self.timestamp is None else self.timestamp
        ) & 0xFFFFFFFF
        header = struct.pack("!BBHII", flags, self.payload_type, sequence, timestamp, source + self.source)
        contributors = b"".join(struct.pack("!I", each) for each in self.contributors)
        padding = bytes(self.padding - 1) + bytes([self.padding]) if self.padding else b""
        return header + contributors + self.extension + self.audio + padding


def audio(at: int, milliseconds: int = 20) -> bytes:
    """The audio of packet `at`, unlike that of all others."""
    return bytes([0x20 + at]) * (8 * milliseconds)


def packet(at: int) -> Packet:
    return Packet(at, audio(at))
