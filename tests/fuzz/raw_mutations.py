"""Mutations of the start line, and of a message's bytes regardless of their meaning."""

from __future__ import annotations

import random

from .header_mutations import Kinds, join, split
from .hostile_values import METHODS, PIECES, URIS, VALUES


def _hostile_start(chance: random.Random, message: bytes) -> bytes:
    start, lines, body = split(message)
    words = start.split(b" ")
    place = chance.randrange(len(words))
    words[place] = (chance.choice(METHODS), chance.choice(URIS), chance.choice(VALUES))[min(place, 2)]
    return join(chance, chance.choice((b" ", b" ", b"  ", b"\t")).join(words), lines, body)


def _other_method(chance: random.Random, message: bytes) -> bytes:
    start, lines, body = split(message)
    method = start.partition(b" ")[0]
    other = chance.choice(METHODS)
    lines = [line.replace(method, other) if line[:4].lower() == b"cseq" else line for line in lines]
    return join(chance, other + start[len(method) :], lines, body)


def _flipped_bits(chance: random.Random, message: bytes) -> bytes:
    flipped = bytearray(message)
    for _ in range(chance.choice((1, 2, 8, 40))):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _cut_short(chance: random.Random, message: bytes) -> bytes:
    return message[: chance.randrange(1, len(message) + 1)]


def _line_ends(chance: random.Random, message: bytes) -> bytes:
    return message.replace(
        b"\r\n", chance.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\x00")), chance.choice((1, -1))
    )


def _piece_anywhere(chance: random.Random, message: bytes) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + chance.choice(PIECES) + message[at:]


def _slice_repeated(chance: random.Random, message: bytes) -> bytes:
    start = chance.randrange(len(message))
    return (
        message[:start]
        + message[start : start + chance.randrange(1, 200)] * chance.choice((2, 3, 20))
        + message[start:]
    )


def _slice_missing(chance: random.Random, message: bytes) -> bytes:
    start = chance.randrange(len(message))
    return message[:start] + message[start + chance.randrange(1, 60) :] or b"\r\n"


def _leading_lines(chance: random.Random, message: bytes) -> bytes:
    return chance.choice((b"\r\n", b"\r\n\r\n", b"\n", b"\x00", b" ", b"\r\n" * 200)) + message


RAW_KINDS: Kinds = (
    _flipped_bits,
    _cut_short,
    _line_ends,
    _piece_anywhere,
    _slice_repeated,
    _slice_missing,
    _leading_lines,
)
START_KINDS: Kinds = (_hostile_start, _other_method)
