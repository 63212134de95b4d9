"""The seam between calls and `cluster`: which node signals a contact, or moves its caller."""

from __future__ import annotations

from typing import Protocol

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.cxone import SignalResult


class SignalClaims(Protocol):
    """The claims of Signals, if several nodes share the calls. Methods never raise."""

    async def claim(self, record: CallRecord) -> SignalResult | None:
        """Claim the Signal of a call, right before each first byte; return None if it may be sent.

        Otherwise return the result that it gets instead: `DUPLICATE` if another node has claimed it, `UNDELIVERED` if
        this node cannot know that.
        """

    async def may_transfer(self, record: CallRecord) -> bool:
        """Return True if this node may move a caller whose contact it has not signalled, right before it does.

        That costs nothing while no other node can have taken the call over.
        """

    def settle(self, record: CallRecord, result: SignalResult) -> None:
        """Write the result of a claimed Signal, for a node that takes this one over."""
