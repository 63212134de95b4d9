"""The seam between `store` and `web`: the log of what has happened to the calls of each project."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, Self

from sipbridge.calls.model import CallRecord


class Position(NamedTuple):
    """The position of an entry in its log: the time of the entry since 1970, and a number."""

    milliseconds: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a position, as `str` makes it."""
        return cls(*map(int, text.split("-")))

    @property
    def next(self) -> Self:
        """The first position after this one."""
        return self._replace(number=self.number + 1)

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"


BEGINNING = Position(0, 0)  # before each entry


class LogEntry(NamedTuple):
    """A record has changed, and shows new milestones, if any: those with a sequence over `after` up to `until`."""

    position: Position
    call_id: str
    after: int
    until: int


Listener = Callable[[Sequence[LogEntry]], Awaitable[None]]


class CallLog(Protocol):
    """The log of each project. Each put of a record adds its entry in the same step. Methods raise `StoreError`.

    An entry has no content, since milestones follow from the record: so it costs the writer little, also if there are
    many readers, and an erasure leaves nothing but the id of the call. The oldest entries are dropped.
    """

    async def entries(self, client: str, project: str, *, first: Position, limit: int) -> list[LogEntry]:
        """Return up to `limit` entries of a project from that position on."""

    async def records(self, client: str, project: str, call_ids: Collection[str]) -> dict[str, CallRecord]:
        """Return the records of the calls that have not been erased, also of those that have begun only."""

    def follow(self, client: str, project: str, listener: Listener) -> AbstractAsyncContextManager[None]:
        """Pass on the entries that are added while the block runs. All followers of a project share the listener."""
