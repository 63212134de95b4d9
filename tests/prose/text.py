"""One text that people read, and its sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.prose.rules import Kind

CODE = re.compile(r"`+[^`]*`+")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
FULL_STOP = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!vs\.)\s+")
COLON = re.compile(r"(?<=[:])\s+")


@dataclass(frozen=True)
class Text:
    """One text: a paragraph, a comment, a docstring, a message or the name of a test."""

    path: Path
    line: int
    kind: Kind
    words: str
    table: bool = False

    def sentences(self) -> list[str]:
        """Return the sentences of the text. A colon ends one, as a list or an example follows it."""
        return [part for sentence in split_sentences(self.words) for part in COLON.split(sentence) if part]


def plain(text: str) -> str:
    """Return text without Markdown's code and link targets, on one line."""
    without_code = CODE.sub("CODE", text)
    return " ".join(LINK.sub(r"\1", without_code).split())


def split_sentences(words: str) -> list[str]:
    """Return the parts of a text that a full stop ends."""
    return [part for part in FULL_STOP.split(words) if part]
