"""One SIP dialog in a slot of PJSUA: the commands on it, and its events. Everything here runs on the SIP thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.model import LegEnd, LegFailure
from sipbridge.calls.ports.sip import ReferHandler
from sipbridge.errors import LegEnded
from sipbridge.sip.dialog_listener import DialogListener
from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.ending import read_failure
from sipbridge.sip.media import DialogMedia
from sipbridge.sip.messages import read_bye, read_contacts, read_referral
from sipbridge.sip.outgoing_invite import OutgoingInvite
from sipbridge.sip.pjsip_errors import explain, put_in_words
from sipbridge.sip.pjsip_functions import CallFunctions
from sipbridge.sip.responses import add_warning
from sipbridge.sip.thread import CallEvent, SipThread
from sipbridge.telephony.sip_status import SipStatus, is_redirection, is_success

logger = logging.getLogger(__name__)

_NO_SLOT = -1
_NO_TOKEN = 0


@dataclass(frozen=True, slots=True)
class DialogContext:
    """The objects that all dialogs share. `clips` are those that `Dialog.play` knows, by name."""

    thread: SipThread
    table: DialogTable
    clips: Mapping[str, pj.Clip]
    native: CallFunctions


class Dialog:
    """A dialog: live from `adopt` or `dial` until its end.

    At other times the commands that need a live dialog raise `LegEnded`; `answer`, `refer`, and those that end or undo
    something do nothing. PJSUA reuses the slot of a dialog that has ended, so no command uses it then.
    """

    def __init__(self, context: DialogContext, refer_handler: ReferHandler | None = None) -> None:
        """Make a dialog that is not live yet. Without a REFER handler every REFER of the far end gets 403."""
        self._thread = context.thread
        self._table = context.table
        self._clips = context.clips
        self._native = context.native
        self._refer_handler = refer_handler
        # Set while the dialog is live. The leg refers to the dialog, so its end drops what refers to the leg.
        self._listener: DialogListener | None = None
        self._slot = _NO_SLOT
        self._media = DialogMedia(_NO_SLOT, self._native)
        self._outgoing = False
        self._answered = False
        self._confirmed = False
        self._answered_at = 0.0
        self._clip_token = _NO_TOKEN
        self._refer_token = _NO_TOKEN
        self._bye_after_refer = False

    # ------------------------------------------------------------ beginning

    def adopt(self, slot: int, listener: DialogListener) -> None:
        """Take the incoming call in that slot."""
        self._begin(slot, listener)

    def dial(self, invite: OutgoingInvite, listener: DialogListener) -> None:
        """Send an INVITE. Raises `LegEnded` if it could not be sent."""
        with _ended_if_unsent():
            slot = self._native.callDial(
                invite.account,
                invite.uri,
                invite.target,
                invite.sources,
                invite.local_uri,
                invite.headers,
                invite.username,
                invite.password,
            )
        self._outgoing = True
        self._begin(slot, listener)

    def _begin(self, slot: int, listener: DialogListener) -> None:
        self._slot = slot
        self._media = DialogMedia(slot, self._native)
        self._listener = listener
        self._table.add(slot, self)

    # ------------------------------------------------------------ commands

    def progress(self, sip_status: int) -> None:
        """Send a provisional response: 180, or 183 with SDP."""
        self._require_live()
        with _ended_if_unsent():
            self._native.callAnswer(self._slot, sip_status, {})

    def answer(self, headers: dict[str, str]) -> None:
        """Send 200; the listener is notified of the ACK, or of the end."""
        if self._listener is None:
            return
        try:
            self._native.callAnswer(self._slot, SipStatus.OK, headers)
        except pj.Error:
            self.hang_up(SipStatus.SERVER_INTERNAL_ERROR, "", {})
        self._answered_at = time.monotonic()

    def hang_up(self, sip_status: int, reason: str, headers: dict[str, str]) -> None:
        """End the dialog in any state. The listener is notified of the end even if the request could not be sent."""
        if self._listener is None:
            return
        try:
            self._native.callHangup(self._slot, sip_status, reason, headers)
        except pj.Error:
            sip_status = SipStatus.SERVER_INTERNAL_ERROR
        self._end(self._listener, self._ended_by_us(sip_status))

    def refer(self, uri: str, headers: dict[str, str], *, then_bye: bool = False) -> None:
        """Send REFER; the listener is notified of its outcome. With `then_bye`, success ends the dialog.

        If the listener is notified of the end alone, the REFER came too late to be sent.
        """
        if self._listener is None:
            return
        self._bye_after_refer = then_bye
        self._forget_refer()
        self._refer_token = self._table.issue_token(self)
        try:
            # Without brackets the URI's own parameters would become the header's.
            self._native.callRefer(self._slot, self._refer_token, f"<{uri}>", headers)
        except pj.Error as error:
            extra = {"event": "refer_not_sent", "sip_call_id": self._native.sipCallId(self._slot)}
            logger.warning("a REFER was not sent: %s", explain(error), extra=extra)
            self._forget_refer()
            self._notify(self._listener.refer_not_sent)

    def _forget_refer(self) -> None:
        self._table.revoke_token(self._refer_token)
        self._refer_token = _NO_TOKEN

    def notify(self, ticket: int, sip_status: int, reason: str) -> None:
        """Send the final NOTIFY for a REFER that got 202, also after the end of the dialog."""
        with suppress(pj.Error):
            self._native.notifyTransfer(ticket, sip_status, reason)

    def send_dtmf_digit(self, digit: str) -> None:
        """Send a DTMF digit."""
        if self._listener is not None:
            with suppress(pj.Error):
                self._native.callDigit(self._slot, ord(digit))

    def packets_received(self) -> int | None:
        """Return the number of RTP packets so far, None while none are due."""
        self._require_live()
        packets = self._native.callPackets(self._slot)
        return None if packets < 0 else packets

    def level(self) -> int:
        """Return the loudness of the far end in the last 20 ms, 0 to 255."""
        self._require_live()
        return self._media.level()

    def play(self, clip: str) -> None:
        """Play a clip; the listener is notified when its last sample has been sent. A looped one has no last sample."""
        self._require_live()
        self.stop_playing()
        self._clip_token = self._table.issue_token(self)
        self._media.play(self._clips[clip], self._clip_token)

    def stop_playing(self) -> None:
        """Stop the clip."""
        self._table.revoke_token(self._clip_token)
        self._media.stop_playing()

    def join(self, other: Dialog, withheld_digit: str = "") -> None:
        """Connect the audio of two dialogs both ways. The other one does not get the withheld DTMF digit as RTP."""
        self._require_live()
        other._require_live()
        self._media.join(other._media, ord(withheld_digit) if withheld_digit else 0)

    def part(self) -> None:
        """Undo `join`."""
        self._media.part()

    def open_stream(self, stream: int) -> None:
        """Connect an audio stream both ways."""
        self._require_live()
        self._media.open_stream(stream)

    def close_stream(self) -> None:
        """Undo `open_stream`."""
        self._media.close_stream()

    def _require_live(self) -> None:
        if self._listener is None:
            raise LegEnded("the leg has ended")

    # ------------------------------------------------------------ requests of the far end

    def decide_refer(self, request: pj.IncomingRequest) -> None:
        """Accept or reject a REFER as the REFER handler decides; reject it with 403 without one."""
        if self._listener is None or self._refer_handler is None:
            request.refuse(SipStatus.FORBIDDEN, "")
            return
        referral = read_referral(request.message())
        sip_status, why = self._refer_handler.decide(referral)
        if sip_status < 300:  # noqa: PLR2004 (a 2xx)
            self._notify(partial(self._listener.referral_accepted, request.ticket(), self._refer_handler, referral))
        else:
            request.refuse(sip_status, "")
            if why:
                add_warning(request, why)

    def holds_bye(self, ticket: int) -> bool:
        """Return true if the listener holds the far end's BYE until its end has been noted."""
        release = partial(self._thread.post, partial(self._native.passBye, ticket))
        return self._listener is not None and self._listener.holds_bye(release)

    # ------------------------------------------------------------ events

    def handle(self, event: CallEvent) -> None:
        """Handle an event of PJSIP."""
        handler = self._HANDLERS.get(event.kind)
        if handler is not None and self._listener is not None:
            handler(self, self._listener, event)

    def _on_answered(self, _listener: DialogListener, _event: CallEvent) -> None:
        self._answered = True

    def _on_confirmed(self, listener: DialogListener, event: CallEvent) -> None:
        """Handle an ACK or 2xx. If no audio was agreed on, end the dialog; `number` says that PJSIP does so already."""
        if event.final:
            self._confirmed = True
            self._notify(partial(listener.confirmed, self._answered_at))
            return
        if event.number:
            self._end(listener, self._ended_by_us(SipStatus.NOT_ACCEPTABLE_HERE, LegFailure.UNUSABLE_ANSWER))
        else:
            self._thread.run_this_turn(self._end_without_audio)

    def _end_without_audio(self) -> None:
        """End the dialog. Not while events are handled: one of them may be its end, and its slot have another call."""
        if self._listener is not None:
            with suppress(pj.Error):
                self._native.callHangup(self._slot, SipStatus.NOT_ACCEPTABLE_HERE, "No audio agreed on", {})
            self._end(self._listener, self._ended_by_us(SipStatus.NOT_ACCEPTABLE_HERE, LegFailure.UNUSABLE_ANSWER))

    def _on_ended(self, listener: DialogListener, event: CallEvent) -> None:
        """Handle the end: by a message of the far end (`final`), else on PJSIP's own account."""
        _, _, audio, status, text, by_peer = event
        if not by_peer:
            failure = read_failure(status, text, acknowledged=self._confirmed or self._outgoing)
            detail = put_in_words(text) if failure is LegFailure.TRANSPORT_FAILED else ""
            self._end(listener, self._ended_by_us(status, failure, detail))
            return
        end = LegEnd(
            by_peer=True,
            sip_status=status,
            at=time.monotonic(),
            headers=read_bye(text.encode()),
            heard=bool(audio & pj.AudioHeard),
            answered=self._answered,
            audio_due=bool(audio & pj.AudioDue),
        )
        self._end(listener, end, read_contacts(text) if is_redirection(status) else ())

    def _on_media(self, listener: DialogListener, _event: CallEvent) -> None:
        self._media.connect()
        if self._outgoing:
            self._notify(listener.media_negotiated)

    def _on_response(self, listener: DialogListener, _event: CallEvent) -> None:
        self._notify(listener.response_received)

    def _on_dtmf_digit(self, listener: DialogListener, event: CallEvent) -> None:
        self._notify(partial(listener.dtmf_digit_received, chr(event.number)))

    def _on_dtmf_digits_dropped(self, _listener: DialogListener, event: CallEvent) -> None:
        extra = {"event": "digits_dropped", "sip_call_id": self._native.sipCallId(self._slot)}
        logger.warning("DTMF digits dropped: %s", event.text, extra=extra)

    def _on_clip_done(self, listener: DialogListener, _event: CallEvent) -> None:
        self._notify(listener.clip_finished)
        self.stop_playing()

    def _on_refer_rejected(self, listener: DialogListener, event: CallEvent) -> None:
        self._forget_refer()
        self._notify(partial(listener.refer_rejected, event.status))

    def _on_refer_ended(self, listener: DialogListener, event: CallEvent) -> None:
        self._forget_refer()
        self._notify(partial(listener.refer_ended, event.status))
        if self._bye_after_refer and is_success(event.status):
            # Not at once, as in `_end_without_audio`.
            self._thread.run_this_turn(partial(self.hang_up, SipStatus.OK, "", {}))

    def _on_refer_unserved(self, _listener: DialogListener, event: CallEvent) -> None:
        if self._refer_handler is not None:
            self._notify(partial(self._refer_handler.rejected, event.text))

    _HANDLERS: ClassVar[Mapping[int, Callable[[Dialog, DialogListener, CallEvent], None]]] = {
        pj.EventAnswered: _on_answered,
        pj.EventConfirmed: _on_confirmed,
        pj.EventTrying: _on_response,
        pj.EventEnded: _on_ended,
        pj.EventMedia: _on_media,
        pj.EventDigit: _on_dtmf_digit,
        pj.EventDigitsDropped: _on_dtmf_digits_dropped,
        pj.EventClipDone: _on_clip_done,
        pj.EventReferRejected: _on_refer_rejected,
        pj.EventReferEnded: _on_refer_ended,
        pj.EventReferUnserved: _on_refer_unserved,
    }

    # ------------------------------------------------------------ the end

    def _ended_by_us(self, sip_status: int, failure: LegFailure | None = None, detail: str = "") -> LegEnd:
        now = time.monotonic()
        return LegEnd(
            by_peer=False, sip_status=sip_status, at=now, failure=failure, answered=self._answered, detail=detail
        )

    def _end(self, listener: DialogListener, end: LegEnd, contacts: tuple[str, ...] = ()) -> None:
        """Release everything and notify the listener."""
        self._listener = self._refer_handler = None
        self._table.remove(self._slot, self)
        if self._refer_token != _NO_TOKEN:
            self._forget_refer()
            self._notify(partial(listener.refer_cut_off, by_peer=end.by_peer))
        self.stop_playing()
        self._media.close()
        self._notify(partial(listener.dialog_ended, end, contacts))

    def _notify(self, callback: Callable[[], None]) -> None:
        self._thread.notify_loop(callback)


@contextmanager
def _ended_if_unsent() -> Iterator[None]:
    """Raise `LegEnded` if PJSIP could not send a message."""
    try:
        yield
    except pj.Error as error:
        raise LegEnded(f"the request could not be sent: {explain(error)}") from None
