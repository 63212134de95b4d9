"""The tables of pages, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.docs.markdown import replace_links

DOCS = Path(__file__).resolve().parents[2] / "docs"
_CELL_END = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Table:
    """A table of a page: the anchor of the heading above it, its column names, and its rows."""

    anchor: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def row(self, word: str) -> dict[str, str] | None:
        """Return the cells of the row whose first cell has a word as code, by column."""
        for row in self.rows:
            if f"`{word}`" in row[0]:
                return dict(zip(self.columns, row, strict=True))
        return None

    @property
    def words(self) -> set[str]:
        """The words that the first cells have as code."""
        return {word for row in self.rows for word in re.findall(r"`([^`]+)`", row[0])}


@cache
def tables_of(page: str) -> tuple[Table, ...]:
    """Return the tables of a page of `docs/`. Links in the cells are relative to `docs/`."""
    text = (DOCS / page).read_text(encoding="utf-8")
    here = replace_links(text, lambda target: f"{page}{target}" if target.startswith("#") else target)
    return tuple(_tables(here.splitlines()))


def _tables(lines: Iterable[str]) -> Iterator[Table]:
    anchor = ""
    rows: list[tuple[str, ...]] = []
    for line in [*lines, ""]:
        if line.startswith("#"):
            anchor = anchor_of(line.lstrip("# "))
        if line.startswith("|"):
            rows.append(tuple(cell.strip() for cell in _CELL_END.split(line)[1:-1]))
        elif rows:
            yield Table(anchor, rows[0], tuple(rows[2:]))
            rows = []


@cache
def anchors_of(page: str) -> tuple[str, ...]:
    """Return the anchors of the headings of a page of `docs/`, in their order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return tuple(anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE))


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown. Cells are Markdown, in which `|` is escaped already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: str) -> str:
    """Return a text as code in a cell; nothing for an empty one."""
    return f"`{text}`".replace("|", r"\|") if text else ""
