"""The Protocol between the cluster and the bridge, which ends or keeps its calls as the lease requires."""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol


class NodeControls(Protocol):
    """The commands of the cluster to the bridge."""

    @property
    def calls(self) -> int:
        """Number of calls in progress."""

    @property
    def chats(self) -> int:
        """Number of chats in progress."""

    @property
    def draining(self) -> bool:
        """True while the bridge takes no new calls and chats."""

    def end_taken_over(self, kept: Container[str]) -> list[str]:
        """End all calls in progress without a Signal, except for those that are kept, and abandon all chats.

        Return the ids of the calls that have not ended yet.
        """

    def withhold_readiness(self, reason: str | None) -> None:
        """Take no new calls, for that reason, until there is none."""
