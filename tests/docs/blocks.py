"""The blocks of a page that say where they belong: commands in a terminal, what it shows, and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_ANYTHING = "…"
# A time, an id or a version.
_VARIES = re.compile(r"\d+\.\d+(?:\.\d+)?|'?(?:test-)?[0-9a-f]{12,}'?,?")


@dataclass(frozen=True)
class Block:
    """A block of code: `sh` has commands, `text` what they show, and anything else is a file.

    `title` is the name of the terminal, or the path of the file.
    """

    language: str
    title: str
    text: str

    def missing(self, output: str) -> list[str]:
        """Return the lines of the block that the output of a terminal does not have.

        Times, ids and versions may differ, and `…` stands for any text.
        """
        return [line for line in self.text.splitlines() if not re.search(_pattern(line), output, re.MULTILINE)]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that have a title."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def _pattern(line: str) -> str:
    words = re.split(r"(\s+)", line)
    return "^" + "".join(map(_pattern_of_word, words)) + ("" if line.endswith(_ANYTHING) else r"\s*$")


def _pattern_of_word(word: str) -> str:
    if word.isspace():
        return r"\s+"
    if _VARIES.fullmatch(word):
        return r"\S+"
    return ".*".join(map(re.escape, word.split(_ANYTHING)))
