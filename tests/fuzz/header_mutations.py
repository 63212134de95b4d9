"""Mutations of headers, and the functions that split and join a message for all other mutations."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from .hostile_values import HEADERS, NUMBERS, PARAMETERS, PIECES, URIS, VALUES

Lines = list[bytes]
Kinds = tuple[Callable[[random.Random, bytes], bytes], ...]

# These headers decide whether the message is admitted, and to whom it goes.
_IDENTITY = re.compile(rb"(X-Auth-Token|X-InContact-|From|To|Call-ID|CSeq|Via|f|t|i|v)\b", re.IGNORECASE)
_LENGTH = re.compile(rb"^(Content-Length|l)[ \t]*:.*$", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(rb"\d+")


def split(message: bytes) -> tuple[bytes, Lines, bytes]:
    """Start line, header lines, body."""
    head, _, body = message.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    return start, lines, body


def join(chance: random.Random, start: bytes, lines: Lines, body: bytes) -> bytes:
    """Join the parts, mostly with the right Content-Length: over TCP a wrong one ends everything after it."""
    head = b"\r\n".join([start, *lines])
    if chance.random() < 0.93:
        head = _LENGTH.sub(lambda found: b"%s: %d" % (found[1], len(body)), head)
    return head + b"\r\n\r\n" + body


def _pick_line(chance: random.Random, lines: Lines) -> int:
    """Choose a line to change; rarely one that identifies the call and the caller."""
    places = [place for place, line in enumerate(lines) if not _IDENTITY.match(line)]
    return chance.choice(places) if places and chance.random() < 0.8 else chance.randrange(len(lines))


def _on_a_line(change: Callable[[random.Random, bytes], bytes]) -> Callable[[random.Random, bytes], bytes]:
    def mutate(chance: random.Random, message: bytes) -> bytes:
        start, lines, body = split(message)
        if lines:
            place = _pick_line(chance, lines)
            lines[place] = change(chance, lines[place])
        return join(chance, start, lines, body)

    mutate.__name__ = change.__name__.strip("_")
    return mutate


def _on_lines(change: Callable[[random.Random, Lines], None]) -> Callable[[random.Random, bytes], bytes]:
    def mutate(chance: random.Random, message: bytes) -> bytes:
        start, lines, body = split(message)
        if lines:
            change(chance, lines)
        return join(chance, start, lines, body)

    mutate.__name__ = change.__name__.strip("_")
    return mutate


def _with_value(line: bytes, value: bytes) -> bytes:
    return line.partition(b":")[0] + b": " + value


def other_number(chance: random.Random, line: bytes) -> bytes:
    found = list(_NUMBER.finditer(line))
    if not found:
        return _with_value(line, chance.choice(NUMBERS))
    one = chance.choice(found)
    return line[: one.start()] + chance.choice(NUMBERS) + line[one.end() :]


@_on_a_line
def _hostile_value(chance: random.Random, line: bytes) -> bytes:
    return _with_value(line, chance.choice(VALUES))


@_on_a_line
def _hostile_uri(chance: random.Random, line: bytes) -> bytes:
    return _with_value(line, chance.choice((b"%s", b"<%s>", b'"x" <%s>;q=1')) % chance.choice(URIS))


@_on_a_line
def _absurd_number(chance: random.Random, line: bytes) -> bytes:
    return other_number(chance, line)


@_on_a_line
def _more_parameters(chance: random.Random, line: bytes) -> bytes:
    return line + b"".join(b";" + chance.choice(PARAMETERS) for _ in range(chance.choice((1, 2, 9, 200))))


@_on_a_line
def _piece_inside(chance: random.Random, line: bytes) -> bytes:
    at = chance.randrange(len(line) + 1)
    return line[:at] + chance.choice(PIECES) + line[at:]


@_on_a_line
def _huge_value(chance: random.Random, line: bytes) -> bytes:
    return line + chance.choice((b"A", b'"', b"<", b";x", b",", b"%00", b" ", b"\t", b"[")) * chance.choice(
        (300, 2000, 5000)
    )


@_on_a_line
def _folded(chance: random.Random, line: bytes) -> bytes:
    words = line.split(b" ")
    return chance.choice((b"\r\n ", b"\r\n\t", b"\n ", b"\r ", b"\r\n\r\n ", b"\r\n \r\n ")).join(words)


@_on_a_line
def _odd_name(chance: random.Random, line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    return (
        chance.choice((name.upper(), name.lower(), name + b" \t ", b" " + name, name + b"\x00", name[:1], b""))
        + b":"
        + value
    )


@_on_a_line
def _cut_line(chance: random.Random, line: bytes) -> bytes:
    return line[: chance.randrange(len(line) + 1)]


@_on_lines
def _repeated_header(chance: random.Random, lines: Lines) -> None:
    line = lines[_pick_line(chance, lines)]
    for _ in range(chance.choice((1, 1, 2, 40))):
        lines.insert(chance.randrange(len(lines) + 1), line)


@_on_lines
def _missing_header(chance: random.Random, lines: Lines) -> None:
    del lines[_pick_line(chance, lines)]


@_on_lines
def _shuffled_headers(chance: random.Random, lines: Lines) -> None:
    chance.shuffle(lines)


@_on_lines
def _swapped_values(chance: random.Random, lines: Lines) -> None:
    one, other = _pick_line(chance, lines), _pick_line(chance, lines)
    values = [lines[place].partition(b":")[2] for place in (one, other)]
    lines[one], lines[other] = _with_value(lines[one], values[1]), _with_value(lines[other], values[0])


@_on_lines
def _extra_header(chance: random.Random, lines: Lines) -> None:
    for _ in range(chance.choice((1, 1, 1, 2, 6))):
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(HEADERS))


@_on_lines
def _many_headers(chance: random.Random, lines: Lines) -> None:
    lines.extend(b"X-%d: %d" % (number, number) for number in range(chance.choice((30, 300))))


@_on_lines
def _wrong_length(chance: random.Random, lines: Lines) -> None:
    lines[:] = [line for line in lines if not _LENGTH.match(line)]
    lines.append(chance.choice((b"Content-Length: ", b"l:", b"Content-Length : ")) + chance.choice(NUMBERS))


HEADER_KINDS: Kinds = (
    _hostile_value,
    _hostile_uri,
    _absurd_number,
    _more_parameters,
    _piece_inside,
    _huge_value,
    _folded,
    _odd_name,
    _cut_line,
    _repeated_header,
    _missing_header,
    _shuffled_headers,
    _swapped_values,
    _extra_header,
    _extra_header,
    _many_headers,
    _wrong_length,
)
