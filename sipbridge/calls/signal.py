"""The Signal of a call, journalled before its first byte goes out.

This is where the bridge keeps its promise that a contact is signalled at most once per outcome, and that no contact is
forgotten: the journal says `signalling` from the moment at which CXone may have the Signal, neither earlier nor later.
A start after a crash signals those contacts of which it does not say so.
"""

from __future__ import annotations

from collections.abc import Mapping

from sipbridge.calls.events import StoreFailed
from sipbridge.calls.model import CallRecord, Outcome, Result
from sipbridge.calls.ports import SignalResult
from sipbridge.calls.surroundings import Surroundings

SIGNAL_OUTCOMES = {
    SignalResult.ACCEPTED: Outcome(Result.SUCCESS, "accepted"),
    SignalResult.REFUSED: Outcome(Result.CLIENT_ERROR, "signal_refused"),
    SignalResult.UNDELIVERED: Outcome(Result.UPSTREAM_ERROR, "signal_undelivered"),
    SignalResult.UNKNOWN: Outcome(Result.INDETERMINATE, "signal_unknown"),
}


class Signal:
    """One Signal for a record that holds its parameters. `result` is what is known of it at any moment."""

    def __init__(self, around: Surroundings, record: CallRecord, parameters: Mapping[str, str]) -> None:
        self.result = SignalResult.UNDELIVERED
        self._around = around
        self._record = record
        self._parameters = parameters

    async def send(self) -> SignalResult:
        """Send it. Raises only if it is cancelled; `result` is right then as well."""
        centre = self._around.centres[self._record.client]
        try:
            self.result = await centre.signal(self._record.contact_id, self._parameters, self._note)
        finally:
            self._around.journal.signalled(self._record.call_id, self.result)
        return self.result

    async def _note(self, result: SignalResult) -> None:
        journal = self._around.journal
        if result is not SignalResult.UNKNOWN:
            journal.signalled(self._record.call_id, result)
        elif not await journal.signalling(self._record):
            # It is sent all the same: only a crash within the next seconds would cost more.
            self._around.observe(StoreFailed(self._record, "the Signal could not be journalled"))
        self.result = result
