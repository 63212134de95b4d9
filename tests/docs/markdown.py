"""The site's Markdown: pages are written for GitHub, and MkDocs reads them with Python-Markdown.

The two differ in lists (https://python-markdown.github.io/#differences): Python-Markdown wants four columns per level,
and a blank line between a paragraph and a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_FENCE = re.compile(r" *(```+|~~~+)")
_ITEM = re.compile(r" *(?:[-*+]|\d+[.)]) +")
_CODE = re.compile(r"(`+)(.+?)\1")
_CODE_OR_TARGET = re.compile(r"(?P<code>(?P<ticks>`+).+?(?P=ticks))|(?<=\]\()(?P<target>[^)\s]+)(?=\))")
_COLUMNS = 4  # per level of a list


def for_python_markdown(text: str) -> str:
    """Return the text of a page for Python-Markdown."""
    return "\n".join(_reindent(text.splitlines())) + "\n"


def replace_links(text: str, replace: Callable[[str], str]) -> str:
    """Return the text with other targets of its links and pictures; code stays as it is."""

    def replaced(found: re.Match[str]) -> str:
        return found["code"] or replace(found["target"])

    return "\n".join(line if code else _CODE_OR_TARGET.sub(replaced, line) for line, code in _lines(text.splitlines()))


def _lines(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield each line, and True if it belongs to a block of code."""
    fence = ""
    for line in lines:
        mark = _FENCE.match(line)
        if fence:
            yield line, True
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
        else:
            fence = mark[1] if mark else ""
            yield line, bool(mark)


def _reindent(lines: list[str]) -> Iterator[str]:
    levels: list[int] = []  # the column at which the text of each open list item begins
    before = ""
    in_code = False
    for line, code in _lines(lines):
        column = len(line) - len(line.lstrip(" "))
        item = None if code else _ITEM.match(line)
        if line.strip() and not (code and in_code):  # the lines within a block of code belong to its first one
            while levels and column < levels[-1]:
                levels.pop()
        if item and not levels and before.strip() and not before.startswith(("#", " ")) and not _ITEM.match(before):
            yield ""
        indent = len(levels) * _COLUMNS + max(0, column - (levels[-1] if levels else 0))
        yield " " * indent + _table_row(line[column:], code=code) if line.strip() else ""
        if item:
            levels.append(item.end())
        before, in_code = line, code


def _table_row(line: str, *, code: bool) -> str:
    r"""Return a line of a table with `|` in code, where GitHub wants `\|`."""
    if code or not line.startswith("|"):
        return line
    return _CODE.sub(lambda found: found[0].replace(r"\|", "|"), line)
