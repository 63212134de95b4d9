"""Audio that identifies itself: each frame of 20 ms is a stamp with its stream, its number and its time.

A stamp is written as hexadecimal digits, five times per frame. As mu-law these 16 bytes are ordinary samples: none is
the negative zero (0x7F), which a linear mixer cannot reproduce, and all of them survive A-law and back.
"""

from __future__ import annotations

import itertools
import struct
import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .g711 import FRAME_BYTES

_STAMP = struct.Struct(">IHHQ")  # magic, stream, frame number, nanoseconds
_MAGIC = 0x5712_3F00
_TEXT_BYTES = 2 * _STAMP.size
_REPEATS = FRAME_BYTES // _TEXT_BYTES
_MAGIC_TEXT = f"{_MAGIC:08x}".encode()
_MAGIC_BEGINS = [_MAGIC_TEXT[:size] for size in range(1, len(_MAGIC_TEXT))]


@dataclass(frozen=True, slots=True)
class Stamp:
    """The stamp of one frame; `sent_ns` is the time of `time.time_ns` when it was made, just before it was sent."""

    stream: int
    number: int
    sent_ns: int


class Stamps(Iterator[bytes]):
    """An endless stream of frames, each made when it is taken; `sent[n]` is the time of frame `n`."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.sent = array("Q")

    def __next__(self) -> bytes:
        now = time.time_ns()
        text = _STAMP.pack(_MAGIC, self.stream, len(self.sent), now).hex().encode() * _REPEATS
        self.sent.append(now)
        return text


def read(frame: bytes) -> Stamp | None:
    """Return the stamp of a frame; None unless every bit of it is right."""
    text = frame[:_TEXT_BYTES]
    return _read_text(text) if text * _REPEATS == frame else None


def _read_text(text: bytes) -> Stamp | None:
    if not text.startswith(_MAGIC_TEXT):
        return None
    try:
        magic, stream, number, sent_ns = _STAMP.unpack(bytes.fromhex(text.decode("ascii")))
    except ValueError:
        return None
    return Stamp(stream, number, sent_ns) if magic == _MAGIC else None


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A received frame; `at_ns` is the arrival time of its last byte.

    It is not `whole` if only a part of it is unchanged: a jitter buffer blends a frame with the samples that it made up
    for the frame before.
    """

    stamp: Stamp
    at_ns: int
    whole: bool = True


def find_stamps(pieces: Iterable[tuple[int, bytes]]) -> Iterator[ReceivedFrame]:
    """Return the stamped frames in received audio (times and pieces), also those that span two pieces."""
    for stamp, copies in itertools.groupby(_copies(pieces), key=lambda copy: copy.stamp):
        parts = list(copies)
        yield ReceivedFrame(stamp, parts[-1].at_ns, sum(part.count for part in parts) == _REPEATS)


@dataclass(frozen=True, slots=True)
class _Copies:
    """The text of a stamp, this many times in a row."""

    stamp: Stamp
    at_ns: int
    count: int


def _copies(pieces: Iterable[tuple[int, bytes]]) -> Iterator[_Copies]:
    left = b""
    for at_ns, audio in pieces:
        if not left and (stamp := read(audio)):
            yield _Copies(stamp, at_ns, _REPEATS)
            continue
        left += audio
        place = 0
        while (start := left.find(_MAGIC_TEXT, place)) >= 0 and len(left) - start >= _TEXT_BYTES:
            stamp = _read_text(left[start : start + _TEXT_BYTES])
            if stamp:
                yield _Copies(stamp, at_ns, 1)
            place = start + (_TEXT_BYTES if stamp else 1)
        left = left[max(place, len(left) - _TEXT_BYTES + 1) :]
        if _MAGIC_TEXT not in left and not any(left.endswith(begin) for begin in _MAGIC_BEGINS):
            left = b""
