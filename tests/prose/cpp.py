"""The comments and string literals of C++, C and SWIG's interface files, and the texts of patches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.prose.rules import Kind
from tests.prose.text import Text, plain

TOKEN = re.compile(
    r"//(?P<line>[^\n]*)"
    r"|/\*(?P<block>.*?)\*/"
    r'|"(?P<string>(?:\\.|[^"\\\n])*)"'
    r"|'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)
MARGIN = re.compile(r"^[ \t]*\*+ ?", re.MULTILINE)
TEST_NAME = re.compile(r"\b(?:TEST_CASE|SUBCASE)\(\s*$")
FIELD = re.compile(r"^(?:---|[A-Z][\w-]*:)")


def cpp_texts(path: Path) -> Iterator[Text]:
    """Return the comments and the string literals with a blank in them; those in a row are one text."""
    yield from _texts(path, path.read_text(encoding="utf-8"))


def patch_texts(path: Path) -> Iterator[Text]:
    """Return the description of a patch with a DEP-3 header, and the texts of the lines that the patch adds."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if number and FIELD.match(line))
    yield Text(path, 1, Kind.COMMENT, plain(" ".join(lines[:end]).removeprefix("Description:")))
    added = (line[1:] if line.startswith("+") and not line.startswith("+++") else "" for line in lines)
    yield from _texts(path, "\n".join(added))


def _texts(path: Path, source: str) -> Iterator[Text]:
    words, kind, begins, end = "", Kind.COMMENT, 0, 0
    for token in TOKEN.finditer(source):
        found = _kind(source, token)
        if found is None:
            continue
        more = plain(MARGIN.sub("", token["line"] or token["block"] or token["string"] or "").strip("/* \t\n"))
        if words and _continues(source, begins, end, token):
            words += " " + more
        else:
            if words:
                yield Text(path, source.count("\n", 0, begins) + 1, kind, words)
            words, kind, begins = more, found, token.start()
        end = token.end()
    if words:
        yield Text(path, source.count("\n", 0, begins) + 1, kind, words)


def _kind(source: str, token: re.Match[str]) -> Kind | None:
    if token["line"] is not None:
        return Kind.COMMENT
    if token["block"] is not None:
        return Kind.DOCSTRING if token["block"].startswith("*") else Kind.COMMENT
    if token["string"] is None or " " not in token["string"]:
        return None
    return Kind.TEST if TEST_NAME.search(source, 0, token.start()) else Kind.ERROR


def _continues(source: str, begins: int, end: int, token: re.Match[str]) -> bool:
    """Return True if a token goes on with the text before it: a literal, or a line of comment without code."""
    gap = source[end : token.start()]
    if gap.strip() or source[begins] != source[token.start()]:
        return False
    if token["string"] is not None:
        return True
    alone = not source[source.rfind("\n", 0, begins) + 1 : begins].strip()
    return token["line"] is not None and source.startswith("//", begins) and alone and gap.count("\n") == 1
