"""A problem of the configuration: its key, what is wrong and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

KeyPath = tuple[object, ...]  # keys of mappings, and the positions in lists as int


class Problem(NamedTuple):
    """A problem at a key. `text` continues the sentence that the key begins: "is missing; it is required"."""

    path: KeyPath
    text: str

    def line(self, file: Path, number: int | None = None) -> str:
        """Return the line that a user sees. `number` is the line of the file, counted from 1."""
        place = f"{file}:{number}" if number else str(file)
        return one_line(f"{place}: {self.without_file()}")

    def without_file(self) -> str:
        """Return the problem without the name of the file."""
        return one_line(f"{dotted(self.path)}: {self.text}" if self.path else self.text)


def dotted(path: KeyPath) -> str:
    """Return a key path as text, like `clients.acme.pseudo_numbers[0]`.

    Text after a colon is left out: YAML reads `{client_secret:hunter2}`, without a blank, as one long key.
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_shown(str(step))}" for step in path).removeprefix(".")


def _shown(key: str) -> str:
    name, colon, _ = key.partition(":")
    return f"{name}:…" if colon else key


def one_line(text: str) -> str:
    """Return the text with control characters escaped, so that a key with a line break adds no second line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
