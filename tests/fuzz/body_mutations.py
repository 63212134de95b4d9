"""Mutations of bodies, such as SDP."""

from __future__ import annotations

import random
from collections.abc import Callable

from .header_mutations import Kinds, Lines, join, other_number, split
from .hostile_values import PIECES, SDP_LINES


def _on_body(change: Callable[[random.Random, Lines], Lines]) -> Callable[[random.Random, bytes], bytes]:
    def mutate(chance: random.Random, message: bytes) -> bytes:
        start, lines, body = split(message)
        content = change(chance, body.removesuffix(b"\r\n").split(b"\r\n"))
        return join(chance, start, lines, b"\r\n".join(content) + b"\r\n")

    mutate.__name__ = change.__name__.strip("_")
    return mutate


@_on_body
def _hostile_sdp_line(chance: random.Random, lines: Lines) -> Lines:
    for _ in range(chance.choice((1, 1, 2, 5))):
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(SDP_LINES))
    return lines


@_on_body
def _sdp_line_in_place(chance: random.Random, lines: Lines) -> Lines:
    line = chance.choice(SDP_LINES)
    same = [place for place, each in enumerate(lines) if each[:2] == line[:2]]
    lines[chance.choice(same) if same else chance.randrange(len(lines))] = line
    return lines


@_on_body
def _sdp_number(chance: random.Random, lines: Lines) -> Lines:
    place = chance.randrange(len(lines))
    lines[place] = other_number(chance, lines[place])
    return lines


@_on_body
def _sdp_lines_repeated(chance: random.Random, lines: Lines) -> Lines:
    start = chance.randrange(len(lines))
    return lines + lines[start : start + chance.randrange(1, 6)] * chance.choice((1, 2, 20))


@_on_body
def _sdp_lines_missing(chance: random.Random, lines: Lines) -> Lines:
    return [line for line in lines if chance.random() < 0.8] or [b""]


@_on_body
def _sdp_shuffled(chance: random.Random, lines: Lines) -> Lines:
    chance.shuffle(lines)
    return lines


@_on_body
def _sdp_piece(chance: random.Random, lines: Lines) -> Lines:
    place = chance.randrange(len(lines))
    at = chance.randrange(len(lines[place]) + 1)
    lines[place] = lines[place][:at] + chance.choice(PIECES) + lines[place][at:]
    return lines


@_on_body
def _body_of_junk(chance: random.Random, lines: Lines) -> Lines:  # noqa: ARG001 (same signature as the others)
    return [chance.randbytes(chance.choice((1, 50, 3000)))]


BODY_KINDS: Kinds = (
    _hostile_sdp_line,
    _hostile_sdp_line,
    _sdp_line_in_place,
    _sdp_line_in_place,
    _sdp_number,
    _sdp_lines_repeated,
    _sdp_lines_missing,
    _sdp_shuffled,
    _sdp_piece,
    _body_of_junk,
)
