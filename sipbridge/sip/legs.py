"""What the SIP thread does to legs. Everything here runs on that thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pjsua2 as pj

from sipbridge.errors import LegGone
from sipbridge.sip.clips import ClipShelf

if TYPE_CHECKING:
    from sipbridge.sip.leg import SipLeg
    from sipbridge.sip.thread import SipThread

_OK = 200


@dataclass(slots=True, eq=False)
class Dialog:
    """A live call of PJSUA's: its slot there, and what is connected to its audio."""

    leg: SipLeg
    slot: int
    answered_at: float = 0.0
    refer_accepted: bool = False
    audio: int = -1
    player: pj.ClipPlayer | None = None
    playing: int = 0
    peer: Dialog | None = None


class LegTable:
    """The live dialogs, and the commands on them. A command raises `LegGone` where the dialog is over."""

    def __init__(self, thread: SipThread, account: int) -> None:
        self._thread = thread
        self._account = account
        self._by_leg: dict[int, Dialog] = {}
        self._by_slot: dict[int, Dialog] = {}
        self._players: dict[int, Dialog] = {}
        self._next_player = 0
        self.clips = ClipShelf()

    # ------------------------------------------------------------ commands

    def adopt(self, leg: SipLeg, slot: int) -> None:
        """Take on the call in that slot."""
        self._by_leg[leg.number] = self._by_slot[slot] = Dialog(leg, slot)

    def dial(self, leg: SipLeg, uri: str, headers: dict[str, str], local_uri: str) -> None:
        """Send an INVITE, with `local_uri` for its From."""
        self.adopt(leg, _sent(partial(pj.callDial, self._account, uri, local_uri, headers)))

    def ring(self, number: int) -> None:
        """Send 180."""
        _sent(partial(pj.callAnswer, self._live(number).slot, 180, {}))

    def answer(self, number: int, headers: dict[str, str]) -> None:
        """Send 200; the leg hears of the ACK, or of its end."""
        dialog = self._by_leg.get(number)
        if dialog is None:
            return
        try:
            _sent(partial(pj.callAnswer, dialog.slot, _OK, headers))
        except LegGone:
            self.hang_up(number, 500, "", {})
        dialog.answered_at = time.monotonic()

    def hang_up(self, number: int, sip_status: int, reason: str, headers: dict[str, str]) -> None:
        """End the dialog, whatever its state; the leg has ended when this returns."""
        dialog = self._by_leg.get(number)
        if dialog is None:
            return
        # Whatever becomes of the request, nothing more will come of this dialog: its leg must not wait for it.
        try:
            _sent(partial(pj.callHangup, dialog.slot, sip_status, reason, headers))
        except LegGone:
            sip_status = 500
        self._end(dialog, sip_status, by_peer=False)

    def refer(self, number: int, uri: str, headers: dict[str, str]) -> None:
        """Send REFER; what becomes of it goes to the leg."""
        dialog = self._by_leg.get(number)
        if dialog is None:
            return
        dialog.refer_accepted = False
        try:
            # Without brackets the URI's own parameters would become the header's.
            _sent(partial(pj.callRefer, dialog.slot, f"<{uri}>", headers))
        except LegGone:
            self._thread.tell(partial(dialog.leg.refer_ended, False, 500))  # noqa: FBT003 (not accepted)

    def play(self, number: int, path: Path) -> None:
        """Play a clip once; the leg is told when its last sample has left."""
        dialog = self._live(number)
        self._unload(dialog)
        self._next_player += 1
        dialog.playing = self._next_player
        dialog.player = pj.ClipPlayer(self.clips[path], dialog.playing)
        self._players[dialog.playing] = dialog
        self._connect(dialog)

    def stop_playing(self, number: int) -> None:
        """Cut a clip short."""
        dialog = self._by_leg.get(number)
        if dialog is not None:
            self._unload(dialog)

    def join(self, number: int, other: int) -> None:
        """Connect two legs both ways, in PJMEDIA's threads from here on."""
        first, second = self._live(number), self._live(other)
        first.peer, second.peer = second, first
        self._connect(first)

    # ------------------------------------------------------------ events

    def handle(self, kind: int, slot: int, number: int, status: int, text: str, final: bool) -> None:  # noqa: FBT001 (an event's fields)
        """Take in one event of PJSIP's."""
        if kind == pj.EventClipDone:
            self._clip_done(number)
            return
        dialog = self._by_slot.get(slot)
        if dialog is None:
            return  # the last news of a call that we have hung up
        if kind == pj.EventConfirmed:
            self._thread.tell(partial(dialog.leg.confirmed, dialog.answered_at))
        elif kind == pj.EventEnded:
            self._end(dialog, status, by_peer=True)
        elif kind == pj.EventMedia:
            # After each offer and answer the stream is a new one: connect again what belongs to it.
            dialog.audio = number
            self._connect(dialog)
        elif kind == pj.EventRefer:
            self._refer_progress(dialog, status, text, final=final)

    def _refer_progress(self, dialog: Dialog, sip_status: int, reason: str, *, final: bool) -> None:
        """Tell the leg the end of its REFER, once there is one (RFC 3515, 2.4.4 and 2.4.5)."""
        if sip_status < _OK and not final:
            dialog.refer_accepted = True
            return
        # PJSUA says `200 Accepted` of its own where the far end wants no subscription (RFC 4488): nobody knows more.
        unknown = not dialog.refer_accepted and sip_status == _OK and reason == "Accepted"
        self._thread.tell(partial(dialog.leg.refer_ended, dialog.refer_accepted, 0 if unknown else sip_status))

    def _clip_done(self, token: int) -> None:
        dialog = self._players.get(token)
        if dialog is not None:
            self._thread.tell(dialog.leg.clip_finished)
            self._unload(dialog)

    def _end(self, dialog: Dialog, sip_status: int, *, by_peer: bool) -> None:
        del self._by_leg[dialog.leg.number]
        # PJSUA may have given the slot to another call by the time that it tells us.
        if self._by_slot.get(dialog.slot) is dialog:
            del self._by_slot[dialog.slot]
        self._unload(dialog)
        if dialog.peer is not None:
            dialog.peer.peer = None
            dialog.peer = None
        self._thread.tell(partial(dialog.leg.dialog_ended, by_peer=by_peer, sip_status=sip_status))

    # ------------------------------------------------------------ media

    def _connect(self, dialog: Dialog) -> None:
        """Connect what should be connected to this leg and can be; doing so again changes nothing."""
        if dialog.audio < 0:
            return
        if dialog.player is not None:
            pj.connectSlots(dialog.player.getPortId(), dialog.audio)
        if dialog.peer is not None and dialog.peer.audio >= 0:
            pj.connectSlots(dialog.audio, dialog.peer.audio)
            pj.connectSlots(dialog.peer.audio, dialog.audio)

    def _unload(self, dialog: Dialog) -> None:
        self._players.pop(dialog.playing, None)
        dialog.player = None

    def _live(self, number: int) -> Dialog:
        dialog = self._by_leg.get(number)
        if dialog is None:
            raise LegGone("the far end has hung up")
        return dialog


def _sent(request: Callable[[], int]) -> int:
    try:
        return request()
    except pj.Error as error:
        raise LegGone(f"the request could not be sent: {error.reason}") from None
