"""The claims of Signals, as another node's decide them."""

from __future__ import annotations

from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.claims import SignalClaims
from sipbridge.calls.ports.cxone import SignalResult
from tests.fakes.journal import Journal


class FakeClaims:
    """Implements `SignalClaims`: each claim gets `instead`, which is None for one that this node has."""

    def __init__(self, journal: Journal) -> None:
        self.instead: SignalResult | None = None
        self._journal = journal

    async def claim(self, record: CallRecord) -> SignalResult | None:  # noqa: ARG002 (the Protocol has it)
        await self._journal.reach("claims.claim")
        return self.instead

    async def may_transfer(self, record: CallRecord) -> bool:  # noqa: ARG002 (the Protocol has it)
        await self._journal.reach("claims.may_transfer")
        return self.instead is None

    def settle(self, record: CallRecord, result: SignalResult) -> None:  # noqa: ARG002 (the Protocol has it)
        self._journal.note(f"claims.settle {result}")


def _implements(claims: FakeClaims) -> SignalClaims:
    return claims
