"""The table through which PJSIP's events reach the dialogs. Everything here runs on the SIP thread."""

from __future__ import annotations

from itertools import count
from typing import Protocol

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.thread import CallEvent
from sipbridge.telephony.sip_status import SipStatus

# Their `number` is a token; PJSUA may have given the slot to another call by then.
_BY_TOKEN = frozenset({pj.EventClipDone, pj.EventReferRejected, pj.EventReferEnded})


class TableEntry(Protocol):
    """A dialog, as PJSIP's callbacks reach it."""

    def handle(self, event: CallEvent) -> None:
        """Handle an event of this dialog."""

    def decide_refer(self, request: pj.IncomingRequest) -> None:
        """Accept or reject a REFER of the far end."""

    def holds_bye(self, ticket: int) -> bool:
        """Return true if the far end's BYE is to be held until `passBye`."""


class DialogTable:
    """The live dialogs, by PJSUA's slot, and by the tokens of what PJSIP reports later without a slot."""

    def __init__(self) -> None:
        self._by_slot: dict[int, TableEntry] = {}
        self._by_token: dict[int, TableEntry] = {}
        self._tokens = count(1)

    def add(self, slot: int, dialog: TableEntry) -> None:
        """Route what concerns this slot to a dialog."""
        self._by_slot[slot] = dialog

    def remove(self, slot: int, dialog: TableEntry) -> None:
        """Undo `add`, unless PJSUA has given the slot to another call already."""
        if self._by_slot.get(slot) is dialog:
            del self._by_slot[slot]

    def issue_token(self, dialog: TableEntry) -> int:
        """Return a new token; the events that carry it go to this dialog until `revoke_token`."""
        token = next(self._tokens)
        self._by_token[token] = dialog
        return token

    def revoke_token(self, token: int) -> None:
        """Ignore the events that carry this token from now on."""
        self._by_token.pop(token, None)

    def handle(self, event: CallEvent) -> None:
        """Pass an event to its dialog. Ignore what PJSIP reports of calls that we have hung up."""
        by_token = event.kind in _BY_TOKEN
        dialog = self._by_token.get(event.number) if by_token else self._by_slot.get(event.slot)
        if dialog is not None:
            dialog.handle(event)

    def decide_refer(self, slot: int, request: pj.IncomingRequest) -> None:
        """Have the dialog in this slot accept or reject a REFER; reject it with 403 if there is none."""
        dialog = self._by_slot.get(slot)
        if dialog is None:
            request.refuse(SipStatus.FORBIDDEN, "")
        else:
            dialog.decide_refer(request)

    def holds_bye(self, slot: int, ticket: int) -> bool:
        """Return true if the BYE for the dialog in this slot is to be held until `passBye`."""
        dialog = self._by_slot.get(slot)
        return dialog is not None and dialog.holds_bye(ticket)
