"""The Signal of a call, journalled before its first byte goes out.

This is where the bridge keeps its promise that a contact is signalled at most once per outcome, and that no contact is
forgotten: the journal says `signalling` from the moment at which CXone may have the Signal, neither earlier nor later.
A start after a crash signals those contacts of which it does not say so.

Two live calls may show one contact. While both are up the contact is signalled once: a Signal of one call withholds
that of each other call of the contact that is up when it is sent, and for good. A call that begins later is a new one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sipbridge.calls.context import CallContext
from sipbridge.calls.events import StoreFailed
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports import SignalResult
from sipbridge.handoffs.outcome import Outcome, Result

SIGNAL_OUTCOMES = {
    SignalResult.ACCEPTED: Outcome(Result.SUCCESS, "accepted"),
    SignalResult.REFUSED: Outcome(Result.CLIENT_ERROR, "signal_refused"),
    SignalResult.UNDELIVERED: Outcome(Result.UPSTREAM_ERROR, "signal_undelivered"),
    SignalResult.UNKNOWN: Outcome(Result.INDETERMINATE, "signal_unknown"),
    SignalResult.DUPLICATE: Outcome(Result.SUCCESS, "contact_signalled"),
}


class Signal:
    """One Signal for a record that holds its parameters. `result` is what is known of it at any moment."""

    def __init__(self, context: CallContext, record: CallRecord, parameters: Mapping[str, str]) -> None:
        self.result = SignalResult.UNDELIVERED
        self._context = context
        self._record = record
        self._parameters = parameters
        # Ids of the calls whose Signal this one takes the place of.
        self._withheld: list[str] = []

    async def send(self) -> SignalResult:
        """Send it. Raises only if it is cancelled; `result` is right then as well."""
        registry = self._context.registry
        if registry.is_signalled(self._record.call_id):
            self.result = SignalResult.DUPLICATE
            return self.result
        self._withheld = registry.others_of_contact(self._record.call_id)
        registry.mark_signalled(self._withheld)
        centre = self._context.centres[self._record.client]
        try:
            self.result = await centre.signal(self._record.contact_id, self._parameters, self._note)
        finally:
            self._context.journal.signalled(self._record.call_id, self.result)
            if self.result is SignalResult.UNDELIVERED:
                registry.unmark_signalled(self._withheld)
                self._journal_withheld(self.result)
        return self.result

    async def _note(self, result: SignalResult) -> None:
        journal = self._context.journal
        if result is not SignalResult.UNKNOWN:
            journal.signalled(self._record.call_id, result)
        elif not await journal.signalling(self._record):
            # It is sent all the same: only a crash within the next seconds would cost more.
            self._context.observe(StoreFailed(self._record, "the Signal could not be journalled"))
        self._journal_withheld(SignalResult.DUPLICATE if result is SignalResult.UNKNOWN else result)
        self.result = result

    def _journal_withheld(self, result: SignalResult) -> None:
        for call_id in self._withheld:
            self._context.journal.signalled(call_id, result)
