"""The SIP thread and the dialogs of legs, on a fake of PJSIP."""

from __future__ import annotations

import asyncio

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.audio import AudioPump
from sipbridge.sip.dialog import Dialog, DialogContext
from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.leg import SipLeg
from sipbridge.sip.outgoing_invite import OutgoingInvite
from sipbridge.sip.thread import CallEvent, SipThread
from tests.fakes.pjsip import FakePjsip

SLOT = 7
INVITE = OutgoingInvite(0, "sip:agent@example.com", "tcp://192.0.2.1:5060", [], "<sip:caller@example.com>", {})


class Stack:
    """A SIP thread with the dialogs of legs."""

    def __init__(self, pjsip: FakePjsip) -> None:
        self.pjsip = pjsip
        self.loop = asyncio.get_running_loop()
        self.table = DialogTable()
        self.thread = SipThread(self.loop, self._handle, pjsip)
        self.pump = AudioPump(self.loop, pjsip)
        self.context = DialogContext(self.thread, self.table, {"hello": pj.Clip(b"\0\0")}, pjsip)

    def _handle(self, events: list[CallEvent]) -> None:
        for event in events:
            self.table.handle(event)

    async def incoming(self, slot: int = SLOT) -> SipLeg:
        dialog = Dialog(self.context)
        leg = SipLeg(self.loop, self.thread, dialog, self.pump)
        await self.thread.run(lambda: dialog.adopt(slot, leg))
        return leg

    async def outgoing(self) -> SipLeg:
        dialog = Dialog(self.context)
        leg = SipLeg(self.loop, self.thread, dialog, self.pump, INVITE.target)
        await self.thread.run(lambda: dialog.dial(INVITE, leg))
        return leg

    async def settle(self) -> None:
        """Wait until the SIP thread has handled everything that has happened and been posted."""
        for _ in range(2):
            await self.thread.run(lambda: None)

    def end(self, *, status: int = 200, text: str = "", by_peer: bool = True) -> None:
        self.pjsip.queue_event(pj.EventEnded, SLOT, status=status, text=text, final=by_peer)
