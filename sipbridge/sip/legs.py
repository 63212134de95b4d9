"""What the SIP thread does to legs. Everything here runs on that thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pjsua2 as pj

from sipbridge.errors import LegGone
from sipbridge.sip.clips import ClipShelf

if TYPE_CHECKING:
    from sipbridge.sip.leg import SipLeg
    from sipbridge.sip.thread import SipThread

logger = logging.getLogger(__name__)

_ACCEPTED = 200


class PjCall(pj.Call):  # type: ignore[misc]
    """A dialog of PJSUA, its callbacks turned into news for its leg on the loop."""

    def __init__(self, table: LegTable, account: pj.Account, leg: SipLeg, slot: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, slot)
        self.table = table
        self.leg = leg
        self.ended_by_us = False
        self.refer_accepted = False
        self.player: pj.ClipPlayer | None = None
        self.playing = 0
        self.peer: PjCall | None = None
        self.audio = -1

    def onCallState(self, _prm: pj.OnCallStateParam) -> None:  # noqa: N802 (PJSUA2's name)
        """RFC 3261, 13: tell the leg when its dialog is confirmed and when it is over."""
        try:
            self.table.state_changed(self)
        except Exception:
            logger.exception("a call state could not be handled", extra={"event": "internal_error"})

    def onCallMediaState(self, _prm: pj.OnCallMediaStateParam) -> None:  # noqa: N802 (as above)
        """After each offer and answer the stream is a new one: connect again what plays to it."""
        try:
            self.audio = pj.audioSlot(self.getId())
            self.table.connect(self)
        except Exception:
            logger.exception("media could not be connected", extra={"event": "internal_error"})

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:  # noqa: N802 (as above)
        """Refuse a REFER: else PJSUA would call whatever number the trunk names."""
        prm.statusCode = 403

    def onCallTransferStatus(self, prm: pj.OnCallTransferStatusParam) -> None:  # noqa: N802 (as above)
        """Follow our REFER (RFC 3515, 2.4.4 and 2.4.5)."""
        try:
            self.table.refer_progress(self, int(prm.statusCode), str(prm.reason), final=bool(prm.finalNotify))
        except Exception:
            logger.exception("a transfer status could not be handled", extra={"event": "internal_error"})


class LegTable:
    """The live dialogs by leg number, and the commands on them. Raises `LegGone` where a dialog is over."""

    def __init__(self, thread: SipThread, account: pj.Account) -> None:
        self._thread = thread
        self._account = account
        self._calls: dict[int, PjCall] = {}
        self._players: dict[int, PjCall] = {}
        self._over: list[PjCall] = []
        self._next_player = 0
        self.clips = ClipShelf()
        thread.each_turn(self._drop_ended)
        thread.each_turn(self._report_finished_clips)

    def adopt(self, leg: SipLeg, slot: int) -> None:
        """Take on the call that PJSUA has just announced."""
        self._calls[leg.number] = PjCall(self, self._account, leg, slot)

    def dial(self, leg: SipLeg, uri: str, headers: Mapping[str, str], local_uri: str) -> None:
        """Send an INVITE, with `local_uri` for its From."""
        call = PjCall(self, self._account, leg)
        self._calls[leg.number] = call
        parameters = _parameters(headers=headers)
        parameters.txOption.localUri = local_uri
        try:
            call.makeCall(uri, parameters)
        except pj.Error as error:
            del self._calls[leg.number]
            raise LegGone(f"no INVITE could be sent: {error.reason}") from None

    def ring(self, number: int) -> None:
        """Send 180."""
        _send(self._live(number).answer, _parameters(180))

    def answer(self, number: int, headers: Mapping[str, str]) -> float:
        """Send 200; returns when, by the monotonic clock."""
        _send(self._live(number).answer, _parameters(_ACCEPTED, headers=headers))
        return time.monotonic()

    def hang_up(self, number: int, sip_status: int, headers: Mapping[str, str], reason: str) -> None:
        """End the dialog, whatever its state."""
        call = self._calls.get(number)
        if call is None or call.ended_by_us:
            return
        call.ended_by_us = True
        try:
            call.hangup(_parameters(sip_status, headers=headers, reason=reason))
        except pj.Error as error:
            # Nothing will come of this dialog any more: its leg must not wait for it.
            logger.warning("a call could not be hung up", extra={"event": "hang_up_failed", "error": error.reason})
            self._end(call, 500)

    def refer(self, number: int, uri: str, headers: Mapping[str, str]) -> None:
        """Send REFER; what becomes of it goes to the leg."""
        call = self._live(number)
        call.refer_accepted = False
        # The header goes out as given: without brackets the URI's own parameters would become the header's.
        _send(partial(call.xfer, f"<{uri}>"), _parameters(headers=headers))

    def play(self, number: int, path: Path) -> None:
        """Play a clip once; the leg is told when its last sample has left."""
        call = self._live(number)
        self._unload(call)
        self._next_player += 1
        call.playing = self._next_player
        call.player = pj.ClipPlayer(self.clips[path], call.playing)
        self._players[call.playing] = call
        self.connect(call)

    def stop_playing(self, number: int) -> None:
        """Cut a clip short."""
        call = self._calls.get(number)
        if call is not None:
            self._unload(call)

    def join(self, number: int, other: int) -> None:
        """Connect two legs both ways, in PJMEDIA's threads from here on."""
        first, second = self._live(number), self._live(other)
        first.peer, second.peer = second, first
        self.connect(first)

    def connect(self, call: PjCall) -> None:
        """Connect what should be connected to this leg and can be; doing so again changes nothing."""
        if call.audio < 0:
            return
        if call.player is not None:
            pj.connectSlots(call.player.getPortId(), call.audio)
        if call.peer is not None and call.peer.audio >= 0:
            pj.connectSlots(call.audio, call.peer.audio)
            pj.connectSlots(call.peer.audio, call.audio)

    # ------------------------------------------------------------ from PJSUA

    def state_changed(self, call: PjCall) -> None:
        """Tell the leg what matters of a new state."""
        state = pj.invState(call.getId())
        if state == pj.PJSIP_INV_STATE_CONFIRMED:
            self._thread.tell(call.leg.confirmed)
        elif state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._end(call, pj.endCause(call.getId()))

    def refer_progress(self, call: PjCall, sip_status: int, reason: str, *, final: bool) -> None:
        """Tell the leg the end of its REFER, once there is one."""
        if sip_status < _ACCEPTED and not final:
            call.refer_accepted = True
            return
        # PJSUA says `200 Accepted` of its own where the far end wants no subscription (RFC 4488): nobody knows more.
        unknown = not call.refer_accepted and sip_status == _ACCEPTED and reason == "Accepted"
        self._thread.tell(partial(call.leg.refer_ended, call.refer_accepted, 0 if unknown else sip_status))

    def _end(self, call: PjCall, sip_status: int) -> None:
        if self._calls.pop(call.leg.number, None) is None:
            return
        self._unload(call)
        if call.peer is not None:
            call.peer.peer = None
            call.peer = None
        # Not here: PJSUA is still inside this object's callback.
        self._over.append(call)
        self._thread.tell(partial(call.leg.dialog_ended, by_peer=not call.ended_by_us, sip_status=sip_status))

    def _unload(self, call: PjCall) -> None:
        self._players.pop(call.playing, None)
        call.player = None

    def _drop_ended(self) -> None:
        self._over.clear()

    def _report_finished_clips(self) -> None:
        for token in pj.takeFinishedClips():
            call = self._players.get(token)
            if call is not None:
                self._thread.tell(call.leg.clip_finished)
                self._unload(call)

    def _live(self, number: int) -> PjCall:
        call = self._calls.get(number)
        if call is None or call.ended_by_us:
            raise LegGone("the far end has hung up")
        return call


def _parameters(sip_status: int = 0, *, headers: Mapping[str, str] | None = None, reason: str = "") -> pj.CallOpParam:
    parameters = pj.CallOpParam(True)  # noqa: FBT003 (PJSUA2 has no keywords)
    parameters.statusCode = sip_status
    parameters.reason = reason
    for name, value in (headers or {}).items():
        header = pj.SipHeader()
        header.hName = name
        header.hValue = value
        parameters.txOption.headers.push_back(header)
    return parameters


def _send(request: Callable[[pj.CallOpParam], None], parameters: pj.CallOpParam) -> None:
    try:
        request(parameters)
    except pj.Error as error:
        raise LegGone(f"the request could not be sent: {error.reason}") from None
