"""What the SIP thread does to legs. Everything here runs on that thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.calls.ports import ReferHandler
from sipbridge.config import SrtpUse, split_srtp, with_transport
from sipbridge.errors import LegGone
from sipbridge.sip.dialog import Dialog
from sipbridge.sip.ending import read_failure
from sipbridge.sip.gate import add_warning
from sipbridge.sip.messages import read_bye, read_contacts, read_referral
from sipbridge.sip.pjsip_errors import explain, put_in_words
from sipbridge.telephony.credentials import Credentials

if TYPE_CHECKING:
    from sipbridge.sip.leg import SipLeg
    from sipbridge.sip.resources import Room
    from sipbridge.sip.thread import SipThread

_OK = 200
_REDIRECTION = 3  # 3xx
_FORBIDDEN = 403
_NOT_ACCEPTABLE_HERE = 488


class LegTable:
    """The live dialogs, and the commands on them. A command raises `LegGone` where the dialog is over."""

    def __init__(
        self, thread: SipThread, accounts: Mapping[SrtpUse, pj.Account], room: Room, clips: Mapping[str, pj.Clip]
    ) -> None:
        self._thread = thread
        self._accounts = accounts
        self._room = room
        self._by_leg: dict[int, Dialog] = {}
        self._by_slot: dict[int, Dialog] = {}
        self._players: dict[int, Dialog] = {}
        self._next_player = 0
        self._clips = clips

    # ------------------------------------------------------------ commands

    def adopt(self, leg: SipLeg, slot: int) -> None:
        """Take on the call in that slot."""
        self._by_leg[leg.number] = self._by_slot[slot] = Dialog(leg, slot)

    def dial(
        self,
        leg: SipLeg,
        uri: str,
        target: str,
        sources: Sequence[str],
        headers: dict[str, str],
        local_uri: str,
        credentials: Credentials | None,
        refer_handler: ReferHandler | None,
    ) -> None:
        """Send an INVITE to a target, with `local_uri` for its From. Raises `DialFailed` if resources are short.

        `sources` are the targets, addresses and networks that may speak for the far end.
        The URI's own parameter says whether its audio is SRTP. A transport that DNS has chosen is written into it: our
        Contact follows from it.
        """
        uri, srtp = split_srtp(uri)
        transport = target.partition(":")[0]
        uri = with_transport(uri, None if transport == "udp" else transport)
        account = self._accounts[srtp].getId()
        self._room.must_have_leg(account)
        user, password = (credentials.username, credentials.password) if credentials else ("", "")
        slot = _sent(
            partial(pj.callDial, account, uri, target, list(map(_host, sources)), local_uri, headers, user, password)
        )
        self._by_leg[leg.number] = self._by_slot[slot] = Dialog(leg, slot, outgoing=True, refer_handler=refer_handler)

    def progress(self, number: int, sip_status: int) -> None:
        """Send a provisional answer: 180, or 183 with SDP."""
        _sent(partial(pj.callAnswer, self._live(number).slot, sip_status, {}))

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
        try:
            # Without brackets the URI's own parameters would become the header's.
            _sent(partial(pj.callRefer, dialog.slot, number, f"<{uri}>", headers))
        except LegGone:
            self._thread.tell(partial(dialog.leg.refer_rejected, 500))

    def notify(self, ticket: int, sip_status: int, reason: str) -> None:
        """Send the final NOTIFY about a REFER that was accepted; its dialog may be over."""
        with suppress(LegGone):
            _sent(partial(pj.notifyTransfer, ticket, sip_status, reason))

    def send_digit(self, number: int, digit: str) -> None:
        """Press a key."""
        dialog = self._by_leg.get(number)
        if dialog is not None:
            with suppress(LegGone):
                _sent(partial(pj.callDigit, dialog.slot, ord(digit)))

    def packets_received(self, number: int) -> int | None:
        """RTP packets so far; None while none are due."""
        packets = pj.callPackets(self._live(number).slot)
        return None if packets < 0 else packets

    def level(self, number: int) -> int:
        """How loud the far end has been in the last 20 ms, 0 to 255."""
        audio = self._live(number).audio
        return 0 if audio < 0 else int(pj.slotLevel(audio))

    def play(self, number: int, name: str) -> None:
        """Play a clip once; the leg is told when its last sample has left."""
        dialog = self._live(number)
        self._unload(dialog)
        self._next_player += 1
        dialog.playing = self._next_player
        dialog.player = pj.ClipPlayer(self._clips[name], dialog.playing)
        self._players[dialog.playing] = dialog
        dialog.connect()

    def stop_playing(self, number: int) -> None:
        """Cut a clip short."""
        dialog = self._by_leg.get(number)
        if dialog is not None:
            self._unload(dialog)

    def join(self, number: int, other: int) -> None:
        """Connect the audio of two legs both ways."""
        self._live(number).join(self._live(other))

    def part(self, number: int) -> None:
        """Undo that."""
        dialog = self._by_leg.get(number)
        if dialog is not None:
            dialog.part()

    def open_stream(self, number: int, stream: int) -> None:
        """Connect an audio stream to a leg, both ways."""
        dialog = self._live(number)
        dialog.stream = pj.AudioPort(stream)
        dialog.connect()

    def close_stream(self, number: int) -> None:
        """Undo that."""
        dialog = self._by_leg.get(number)
        if dialog is not None:
            dialog.stream = None

    def judge_refer(self, slot: int, request: pj.GateRequest) -> None:
        """Answer a REFER of a far end: as its refer_handler says, 403 where it has none."""
        dialog = self._by_slot.get(slot)
        if dialog is None or dialog.refer_handler is None:
            request.refuse(_FORBIDDEN, "")
            return
        referral = read_referral(request.message())
        sip_status, why = dialog.refer_handler.decide(referral)
        if sip_status < 300:  # noqa: PLR2004 (a 2xx)
            self._thread.tell(partial(dialog.leg.referral_accepted, request.ticket(), dialog.refer_handler, referral))
        else:
            request.refuse(sip_status, "")
            if why:
                add_warning(request, why)

    def hold_bye(self, slot: int, ticket: int) -> bool:
        """Decide whether the BYE of a caller is held until its end is noted."""
        dialog = self._by_slot.get(slot)
        if dialog is None:
            return False
        return dialog.leg.holds_bye(partial(self._thread.post, partial(pj.passBye, ticket)))

    # ------------------------------------------------------------ events

    def handle(self, kind: int, slot: int, number: int, status: int, text: str, final: bool) -> None:  # noqa: FBT001 (an event's fields)
        """Take in one event of PJSIP's."""
        if kind == pj.EventClipDone:
            self._clip_done(number)
            return
        if kind in (pj.EventReferRejected, pj.EventReferEnded):
            self._refer_ended(number, status, rejected=kind == pj.EventReferRejected)
            return
        dialog = self._by_slot.get(slot)
        if dialog is None:
            return  # the last news of a call that we have hung up
        if kind == pj.EventAnswered:
            dialog.answered = True
        elif kind == pj.EventConfirmed:
            self._confirmed(dialog, usable=final, ending=bool(number))
        elif kind == pj.EventEnded:
            self._ended(dialog, status, text, by_peer=final, audio=number)
        elif kind == pj.EventMedia:
            self._media_changed(dialog)
        else:
            self._pass_on(dialog, kind, number, text)

    def _pass_on(self, dialog: Dialog, kind: int, number: int, text: str) -> None:
        """Notify the leg, or the refer_handler, of what concerns no one else."""
        if kind == pj.EventTrying:
            self._thread.tell(dialog.leg.response_came)
        elif kind == pj.EventDigit:
            self._thread.tell(partial(dialog.leg.key_pressed, chr(number)))
        elif kind == pj.EventReferUnserved and dialog.refer_handler is not None:
            self._thread.tell(partial(dialog.refer_handler.rejected, text))

    def _media_changed(self, dialog: Dialog) -> None:
        dialog.connect()
        if dialog.outgoing:
            self._thread.tell(dialog.leg.audio_offered)

    def _ended(self, dialog: Dialog, status: int, text: str, *, by_peer: bool, audio: int) -> None:
        """Take note of the end of a dialog: by a message of the far end, else on PJSIP's own account."""
        if not by_peer:
            failure = read_failure(status, text, acknowledged=dialog.confirmed or dialog.outgoing)
            detail = put_in_words(text) if failure is LegFailure.TRANSPORT_FAILED else ""
            self._end(dialog, status, by_peer=False, failure=failure, detail=detail)
            return
        contacts = read_contacts(text) if status // 100 == _REDIRECTION else ()
        headers = read_bye(text.encode())
        self._end(dialog, status, by_peer=True, headers=headers, contacts=contacts, audio=audio)

    def _confirmed(self, dialog: Dialog, *, usable: bool, ending: bool) -> None:
        """Take note of ACK or 2xx. A dialog with no audio agreed on is no conversation: BYE, unless PJSIP is at it."""
        if usable:
            dialog.confirmed = True
            self._thread.tell(partial(dialog.leg.confirmed, dialog.answered_at))
            return
        if not ending:
            with suppress(LegGone):
                _sent(partial(pj.callHangup, dialog.slot, _NOT_ACCEPTABLE_HERE, "No audio agreed on", {}))
        self._end(dialog, _NOT_ACCEPTABLE_HERE, by_peer=False, failure=LegFailure.UNUSABLE_ANSWER)

    def _refer_ended(self, number: int, sip_status: int, *, rejected: bool) -> None:
        """Notify the leg of the end of its REFER; one whose dialog is over has its outcome already."""
        dialog = self._by_leg.get(number)
        if dialog is not None:
            leg = dialog.leg
            self._thread.tell(partial(leg.refer_rejected if rejected else leg.refer_ended, sip_status))

    def _clip_done(self, token: int) -> None:
        dialog = self._players.get(token)
        if dialog is not None:
            self._thread.tell(dialog.leg.clip_finished)
            self._unload(dialog)

    def _end(
        self,
        dialog: Dialog,
        sip_status: int,
        *,
        by_peer: bool,
        headers: Mapping[str, str] | None = None,
        contacts: tuple[str, ...] = (),
        failure: LegFailure | None = None,
        audio: int = 0,
        detail: str = "",
    ) -> None:
        del self._by_leg[dialog.leg.number]
        # PJSUA may have given the slot to another call by the time that it tells us.
        if self._by_slot.get(dialog.slot) is dialog:
            del self._by_slot[dialog.slot]
        self._unload(dialog)
        dialog.let_go()
        heard, due = bool(audio & pj.AudioHeard), bool(audio & pj.AudioDue)
        end = LegEnd(by_peer, sip_status, time.monotonic(), headers or {}, failure, heard, dialog.answered, due, detail)
        self._thread.tell(partial(dialog.leg.dialog_ended, end, contacts))

    def _unload(self, dialog: Dialog) -> None:
        self._players.pop(dialog.playing, None)
        dialog.player = None

    def _live(self, number: int) -> Dialog:
        dialog = self._by_leg.get(number)
        if dialog is None:
            raise LegGone("the far end has hung up")
        return dialog


def _host(source: str) -> str:
    """The address of a target; an address or a network is itself."""
    return source.partition("://")[2].rpartition(":")[0] or source


def _sent(request: Callable[[], int]) -> int:
    try:
        return request()
    except pj.Error as error:
        raise LegGone(f"the request could not be sent: {explain(error)}") from None
