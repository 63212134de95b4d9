"""The Signal of a call, and the promise that all code about Signals keeps.

A contact is signalled at most once per outcome, no contact is forgotten, and both hold across a crash. The journal says
`signalling` exactly from the moment at which CXone may have the Signal, and `hanging_up` or `hung_up` before CXone can
know that the caller's leg has ended ([leg_end.py](leg_end.py)). The next start signals the contacts for which the
journal says none of these ([recovery.py](recovery.py)).

No journal shows if the last message before a crash arrived. After `signalling` without a result, or `hanging_up`
without `hung_up`, the contact is not signalled: a second Signal, or one after BYE, may start the script twice, or
reach a contact that has ended. The record is `indeterminate` then, so that operators find the contact.

If several nodes share the store, a node that counts as dead may go on all the same. So each Signal is claimed after its
entry in the journal and before its first byte; a claim has one owner, and only the owner sends
([cluster/claims.py](../cluster/claims.py)).

A handoff may be taken back, and its caller be handed off again. A call that may have reached CXone with a Signal sends
no second one: the script may still act on the first.

Two live calls may have the same contact. While both are in progress the contact is signalled once: the Signal of one
call withholds, for good, that of every other call of the contact that is in progress when it is sent. A call that
begins later is a new one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sipbridge.calls.context import CallContext
from sipbridge.calls.events import SignalAttempted, StoreFailed
from sipbridge.calls.model import CallRecord
from sipbridge.calls.outcomes import SIGNAL_OUTCOMES
from sipbridge.calls.ports.cxone import SignalResult, SignalStopped


class Signal:
    """One Signal for a record that has its parameters. `result` is its result as far as it is known at any moment.

    `is_second` is true if CXone may have one of this call already. `others` are the ids of calls of the contact that
    are not in progress here, and whose Signal this one withholds in the journal.
    """

    def __init__(
        self,
        context: CallContext,
        record: CallRecord,
        parameters: Mapping[str, str],
        *,
        is_second: bool = False,
        others: Sequence[str] = (),
    ) -> None:
        self.result = SignalResult.UNDELIVERED
        self._is_second = is_second
        self._others = others
        self._context = context
        self._record = record
        self._parameters = parameters
        # The ids of the calls whose Signal this one withholds.
        self._withheld: list[str] = []
        # The attempt in progress: when it began (seconds of `time.monotonic`), and if it is not the first one.
        self._attempt_at = time.monotonic()
        self._repeated = False

    async def send(self) -> SignalResult:
        """Send the Signal. Raises only if it is cancelled; `result` is right then too."""
        registry = self._context.registry
        if self._is_second or registry.is_signalled(self._record.call_id):
            self.result = SignalResult.DUPLICATE
            return self.result
        self._withheld = registry.others_of_contact(self._record.call_id)
        registry.mark_signalled(self._withheld)
        centre = self._context.centres[self._record.client]
        try:
            self.result = await centre.signal(self._record.contact_id, self._parameters, self._note)
            if self._repeated:
                self._report_attempt(self.result)
        finally:
            self._context.journal.signalled(self._record.call_id, self.result)
            if self._context.claims is not None:
                self._context.claims.settle(self._record, self.result)
            if self.result is SignalResult.UNDELIVERED:
                registry.unmark_signalled(self._withheld)
                self._withhold_none()
        return self.result

    async def _note(self, result: SignalResult) -> None:
        journal = self._context.journal
        if result is not SignalResult.UNKNOWN:
            journal.signalled(self._record.call_id, result)
            if self._context.claims is not None:
                self._context.claims.settle(self._record, result)
            self._withhold_none()
            self._report_attempt(result)
            self._repeated = True
        else:
            self._attempt_at = time.monotonic()
            if not await journal.signalling(self._record, (*self._withheld, *self._others)):
                # Send it anyway: only a crash within the next seconds would cost more.
                self._context.observe(StoreFailed(self._record, "the Signal could not be journalled"))
            await self._claim()
        self.result = result

    async def _claim(self) -> None:
        """Claim the Signal, if several nodes share the calls. Raises `SignalStopped`."""
        instead = await self._context.claims.claim(self._record) if self._context.claims is not None else None
        if instead is not None:
            raise SignalStopped(instead)

    def _report_attempt(self, result: SignalResult) -> None:
        """Report an attempt, from its first byte on, or from the end of the one before if it never came to that."""
        seconds = time.monotonic() - self._attempt_at
        self._context.observe(SignalAttempted(self._record, SIGNAL_OUTCOMES[result], seconds))
        self._attempt_at = time.monotonic()

    def _withhold_none(self) -> None:
        """Let the other calls of the contact be signalled after a crash, as this Signal did not arrive."""
        for call_id in (*self._withheld, *self._others):
            self._context.journal.signalled(call_id, SignalResult.UNDELIVERED)
