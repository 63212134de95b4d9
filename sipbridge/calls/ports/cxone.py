"""The seam between calls and `cxone`: the Signal and the transcript of one client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Protocol

from sipbridge.calls.model import CallRecord
from sipbridge.errors import SipbridgeError


class SignalResult(StrEnum):
    """The result of a Signal: `signal` of a handoff record."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # CXone responded with a refusal
    UNDELIVERED = "undelivered"  # it certainly did not reach CXone
    UNKNOWN = "unknown"  # sent without a usable response; never sent again
    DUPLICATE = "duplicate"  # not sent: the contact was signalled through another live call, or before a take-back


class SignalStopped(SipbridgeError):
    """Raised by a `SignalNote`: the Signal must not be sent. `result` is the one that it gets instead."""

    def __init__(self, result: SignalResult) -> None:
        super().__init__("another node has claimed the Signal, or may have")
        self.result = result


# Awaited while a Signal is being sent: with `UNKNOWN` right before its first byte, with `UNDELIVERED` when that attempt
# certainly did not arrive and another follows. May raise `SignalStopped` with `UNKNOWN`; then the byte is not sent.
SignalNote = Callable[[SignalResult], Awaitable[None]]


class ContactCentre(Protocol):
    """The CXone of one client."""

    async def warm_up(self) -> None:
        """Fetch a token and open a connection, so that the first Signal need not wait for them. Never raises."""

    async def signal(self, contact_id: str, parameters: Mapping[str, str], note: SignalNote) -> SignalResult:
        """Signal the contact's script, at most once, within the time limit. Never raises.

        All that may take long (token, connection) is done before `note` is awaited with `UNKNOWN`.
        """

    async def post_transcript(self, record: CallRecord, *, escalated: bool) -> bool:
        """Post the record's transcript for its main contact; return True if CXone accepted it. Never raises."""

    async def close(self) -> None:
        """Stop the background tasks."""
