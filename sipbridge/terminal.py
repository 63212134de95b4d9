"""The style of a command's output: bold, dim and coloured on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Style:
    """The escape sequences of a terminal (ECMA-48, 8.3.117); empty if the output has none."""

    bold: str = ""
    dim: str = ""
    red: str = ""
    green: str = ""
    yellow: str = ""
    plain: str = ""

    @classmethod
    def of_output(cls, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> Style:
        """Return the style for a stream, by default standard output. `NO_COLOR` turns it off (no-color.org)."""
        if environ.get("NO_COLOR") or not _takes_sequences(stream or sys.stdout, environ):
            return cls()
        return cls("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[0m")


def show_progress(stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> Callable[[str], None]:
    """Return a function that shows the current step in the last line of a terminal, and nothing elsewhere.

    An empty text clears the line.
    """
    stream = stream or sys.stderr
    if not _takes_sequences(stream, environ):
        return lambda _: None

    def show(text: str) -> None:
        stream.write(f"\r\033[K{text}{' …' if text else ''}")
        stream.flush()

    return show


def _takes_sequences(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """True for a terminal that takes escape sequences; `TERM=dumb` says that it does not."""
    return stream.isatty() and environ.get("TERM") != "dumb"
