"""The paragraphs of Markdown pages, and their lines that are too long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.prose.rules import Kind
from tests.prose.text import LINK, Text, plain, split_sentences

FENCE = re.compile(r"^\s*(?:```|~~~)")
BLOCK = re.compile(r"^\s*(?:[-*] |\d+\. |#+ |\||>)")
WIDTH = 100


def paragraphs(path: Path) -> Iterator[Text]:
    """Return the paragraphs, list items and table rows of a page, without its blocks of code."""
    paragraph: list[str] = []
    begins = 0
    fenced = False
    for number, line in enumerate([*_lines(path), ""], 1):
        if FENCE.match(line):
            fenced = not fenced
        if paragraph and (not line.strip() or BLOCK.match(line) or FENCE.match(line)):
            yield Text(path, begins, Kind.PAGE, plain(" ".join(paragraph)), paragraph[0].lstrip().startswith("|"))
            paragraph = []
        if fenced or FENCE.match(line) or not line.strip():
            continue
        if not paragraph:
            begins = number
        paragraph.append(line)


def long_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Return the lines of a page over 100 columns in which a sentence ends, with their first words."""
    fenced = False
    for number, line in enumerate(_lines(path), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and not line.lstrip().startswith("|") and _is_long(line):
            yield number, line[:40]


def _is_long(line: str) -> bool:
    """Return True if a line without its link targets is too wide and a sentence ends in it."""
    return len(LINK.sub(r"\1", line)) > WIDTH and len(split_sentences(BLOCK.sub("", plain(line)))) > 1


def _lines(path: Path) -> list[str]:
    if path.suffix != ".md":
        return []
    source = path.read_text(encoding="utf-8")
    return (_unreleased(source) if path.name == "CHANGELOG.md" else source).splitlines()


def _unreleased(source: str) -> str:
    """Blank out all but the section [Unreleased], so that line numbers stay true."""
    head, mark, rest = source.partition("## [Unreleased]")
    blank = "\n" * head.count("\n")
    return blank + mark + rest.partition("\n## [")[0]
