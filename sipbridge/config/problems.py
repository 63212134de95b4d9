"""A fault of the configuration: where it is, what is wrong, and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

KeyPath = tuple[object, ...]  # keys of mappings, and the positions in lists as int


class Problem(NamedTuple):
    """A fault at a key. `text` reads on after the key: "is missing; it must be given"."""

    path: KeyPath
    text: str

    def line(self, file: Path, number: int | None = None) -> str:
        """Write the one line that a user sees; `number` is the line of the file, from 1."""
        place = f"{file}:{number}" if number else str(file)
        return one_line(f"{place}: {self.without_file()}")

    def without_file(self) -> str:
        """Write it for a file that is named elsewhere."""
        return one_line(f"{dotted(self.path)}: {self.text}" if self.path else self.text)


def dotted(path: KeyPath) -> str:
    """Write a key path as `clients.acme.pseudo_numbers[0]`.

    What follows a colon is left out: YAML takes `{client_secret:hunter2}`, with no blank, for one long key.
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_shown(str(step))}" for step in path).removeprefix(".")


def _shown(key: str) -> str:
    name, colon, _ = key.partition(":")
    return f"{name}:…" if colon else key


def one_line(text: str) -> str:
    """Show control characters as escapes, so that a key with a line break in it makes no second line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
