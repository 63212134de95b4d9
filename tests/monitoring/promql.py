"""The names in a query of Prometheus: enough of PromQL to find each series, label and value that it means."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
SELECTOR = re.compile(r"(?<![\w.])([a-zA-Z_:][\w:]*)\b(?!\s*\()\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*(\d+)")


@dataclass(frozen=True)
class Selector:
    """A series that a query reads, with the values that its labels are compared with."""

    name: str
    matchers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Names:
    """The names in a query. `grouping` are the labels by which it aggregates and joins."""

    selectors: tuple[Selector, ...]
    grouping: frozenset[str]


def names_of(query: str) -> Names:
    """Return the names in a query."""
    strings: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        strings.append(found[1])
        return str(len(strings) - 1)

    bare = RANGE.sub(" ", STRING.sub(put_aside, query))
    grouping = {label.strip() for found in GROUPING.finditer(bare) for label in found[1].split(",")}
    selectors = tuple(
        Selector(found[1], {label: strings[int(value)] for label, value in MATCHER.findall(found[2] or "")})
        for found in SELECTOR.finditer(GROUPING.sub(" ", bare))
        if found[1] not in WORDS
    )
    return Names(selectors, frozenset(grouping - {""}))
