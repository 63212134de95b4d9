"""The limit on label values."""

from __future__ import annotations

import re

MAX_WORDS = 100


class LabelGuard:
    """A limit on the values of a label: short lower-case words, at most `MAX_WORDS` of them.

    Reasons are identifiers. If one is ever made of received text, it becomes `other` here and no series of its own.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: set[str] = set()

    def limit(self, word: str) -> str:
        """Return the word if it is allowed, else `other`."""
        if word in self._known:
            return word
        if len(self._known) < MAX_WORDS and re.fullmatch(r"[a-z][a-z0-9_]{0,39}", word):
            self._known.add(word)
            return word
        return "other"
