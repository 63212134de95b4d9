"""The copy of an abandoned database file into the new one, and how far it has come."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_MAX_ROW_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy has come: `last` is the id of the last row that was read or skipped.

    `carried` counts the records copied so far. The next damage skips `stride` ids.
    """

    last: int = -1
    stride: int = 1
    carried: int = 0
    has_begun: bool = False
    is_done: bool = False

    def after(self, ids: Sequence[int], limit: int, *, carried: int, damaged: bool) -> Progress:
        """Return the progress after these rows of at most `limit`, which ended early if `damaged`."""
        last, stride = (ids[-1], 1) if ids else (self.last, self.stride)
        carried += self.carried
        if damaged:
            # Skip the damage, whose size is unknown.
            last += stride
            return Progress(last, stride * 2, carried, has_begun=True, is_done=last >= _MAX_ROW_ID)
        return Progress(last, stride, carried, has_begun=True, is_done=len(ids) < limit)


class Rescue(Protocol):
    """The copy of an abandoned file into the new one."""

    def step(self, target: sqlite3.Connection, progress: Progress) -> Progress:
        """Copy some records, inside a transaction; return the progress, which counts only once that is committed.

        Raises `sqlite3.Error` for errors of the target only.
        """

    def close(self) -> None:
        """Close the abandoned file."""
