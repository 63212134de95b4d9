"""One dialog with a fake of PJSIP. The SIP thread is one that collects what it would run on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.model import LegEnd
from sipbridge.calls.ports.sip import ReferHandler, Referral
from sipbridge.sip.dialog import Dialog, DialogContext
from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.outgoing_invite import OutgoingInvite
from sipbridge.sip.thread import CallEvent, SipThread
from tests.fakes.pjsip import FakePjsip

SLOT = 7
HEADERS = {"X-Id": "1"}
INVITE = OutgoingInvite(
    account=2,
    uri="sip:agent@example.com",
    target="tcp://192.0.2.1:5060",
    sources=["192.0.2.1", "198.51.100.0/24"],
    local_uri="<sip:caller@example.com>",
    headers=HEADERS,
    username="user",
    password="word",
)


class Listener:
    """Implements `DialogListener`; notes what it is notified of."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.end: LegEnd | None = None
        self.holding = False
        self.release: Callable[[], None] | None = None

    def response_received(self) -> None:
        self.events.append(("response",))

    def media_negotiated(self) -> None:
        self.events.append(("media",))

    def confirmed(self, answered_at: float) -> None:
        self.events.append(("confirmed", answered_at > 0))

    def dtmf_digit_received(self, digit: str) -> None:
        self.events.append(("digit", digit))

    def clip_finished(self) -> None:
        self.events.append(("clip",))

    def refer_rejected(self, sip_status: int) -> None:
        self.events.append(("refer rejected", sip_status))

    def refer_ended(self, sip_status: int) -> None:
        self.events.append(("refer ended", sip_status))

    def refer_not_sent(self) -> None:
        self.events.append(("refer not sent",))

    def refer_cut_off(self, *, by_peer: bool) -> None:
        self.events.append(("refer cut off", by_peer))

    def referral_accepted(self, ticket: int, refer_handler: ReferHandler, referral: Referral) -> None:
        self.events.append(("referral", ticket, referral.refer_to, dict(referral.headers)))
        refer_handler.accepted(referral)

    def dialog_ended(self, end: LegEnd, contacts: tuple[str, ...]) -> None:
        assert self.end is None, "a dialog ends once"
        self.end = end
        self.events.append(("ended", contacts))

    def holds_bye(self, release: Callable[[], None]) -> bool:
        self.release = release
        return self.holding


class DialogWorld:
    """A table of dialogs and a SIP thread that is not started: the test is on it."""

    def __init__(self, pjsip: FakePjsip) -> None:
        self.pjsip = pjsip
        self.table = DialogTable()
        self.thread = RecordingThread(pjsip)
        clips = {"hello": pj.Clip(b"\0\0")}
        self.context = DialogContext(self.thread, self.table, clips, pjsip)

    def incoming(self, slot: int = SLOT) -> tuple[Dialog, Listener]:
        dialog, listener = Dialog(self.context), Listener()
        dialog.adopt(slot, listener)
        return dialog, listener

    def outgoing(self, refer_handler: ReferHandler | None = None) -> tuple[Dialog, Listener]:
        dialog, listener = Dialog(self.context, refer_handler), Listener()
        dialog.dial(INVITE, listener)
        self.pjsip.sent.clear()
        return dialog, listener

    def queue_event(
        self, kind: int, slot: int = SLOT, number: int = 0, status: int = 0, text: str = "", *, final: bool = True
    ) -> None:
        self.queue_events(CallEvent(kind, slot, number, status, text, final))

    def queue_events(self, *events: CallEvent) -> None:
        """Handle events of one turn, and what follows from them."""
        for event in events:
            self.table.handle(event)
        self.thread.run_commands()
        self.thread.run_callbacks()


class RecordingThread(SipThread):
    """Collects what the event loop and the SIP thread would run."""

    def __init__(self, pjsip: FakePjsip) -> None:
        super().__init__(asyncio.new_event_loop(), lambda _: None, pjsip)
        self._loop.close()
        self.notified: list[Callable[[], None]] = []
        self.commands: list[Callable[[], None]] = []

    def notify_loop(self, callback: Callable[[], None]) -> None:
        self.notified.append(callback)

    def post(self, command: Callable[[], None]) -> None:
        command()

    def run_this_turn(self, command: Callable[[], None]) -> None:
        self.commands.append(command)

    def run_commands(self) -> None:
        commands, self.commands = self.commands, []
        for command in commands:
            command()

    def run_callbacks(self) -> None:
        callbacks, self.notified = self.notified, []
        for callback in callbacks:
            callback()
