"""The side of a leg that its dialog notifies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sipbridge.calls.model import LegEnd
from sipbridge.calls.ports.sip import ReferHandler, Referral


class DialogListener(Protocol):
    """Receives the events of a dialog, on the event loop unless a method says otherwise."""

    def response_received(self) -> None:
        """The far end has responded to our INVITE, with any status."""

    def media_negotiated(self) -> None:
        """Offer and answer of our INVITE are complete, before or with its final response."""

    def confirmed(self, answered_at: float) -> None:
        """The ACK came, or the far end's 2xx. We sent our 200 at `answered_at` (monotonic), if we sent one."""

    def dtmf_digit_received(self, digit: str) -> None:
        """The far end pressed a DTMF digit."""

    def clip_finished(self) -> None:
        """The last sample of the clip has been sent."""

    def refer_rejected(self, sip_status: int) -> None:
        """The far end responded to our REFER with a final failure."""

    def refer_ended(self, sip_status: int) -> None:
        """A NOTIFY gave the final status of our REFER; 0 if none can come any more."""

    def refer_not_sent(self) -> None:
        """PJSIP could not send our REFER."""

    def refer_cut_off(self, *, by_peer: bool) -> None:
        """The dialog ends, by the far end or not, before the outcome of our REFER is known. `dialog_ended` follows."""

    def referral_accepted(self, ticket: int, refer_handler: ReferHandler, referral: Referral) -> None:
        """A REFER of the far end got 202; the ticket is for `Dialog.notify`."""

    def dialog_ended(self, end: LegEnd, contacts: tuple[str, ...]) -> None:
        """The dialog is over. `contacts` are those of a 3xx, best first."""

    def holds_bye(self, release: Callable[[], None]) -> bool:
        """Return true if the far end's BYE is to be held until `release` is called. On the SIP thread."""
