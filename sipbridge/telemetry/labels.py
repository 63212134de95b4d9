"""Labelled metrics: a cache of their children, and a limit on label values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, TypeVar

from prometheus_client import Counter, Histogram

M = TypeVar("M", Counter, Histogram)

MAX_WORDS = 100


class LabelCache(Generic[M]):
    """The children of a labelled metric. The library's `labels()` is slow and is called once per child."""

    __slots__ = ("_children", "_metric")

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def __call__(self, *labels: str) -> M:
        """Return the child with these label values, in the order of the labels."""
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels)
        return child

    def keep(self, wanted: Callable[[tuple[str, ...]], bool]) -> None:
        """Remove the children whose label values are no longer wanted."""
        for labels in [labels for labels in self._children if not wanted(labels)]:
            del self._children[labels]
            self._metric.remove(*labels)


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
