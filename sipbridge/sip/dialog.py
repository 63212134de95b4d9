"""A live call of PJSUA's and what its audio is connected to. Everything here runs on the SIP thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.ports import ReferHandler

if TYPE_CHECKING:
    from sipbridge.sip.leg import SipLeg

_NO_AUDIO = -1


@dataclass(slots=True, eq=False)
class Dialog:
    """A slot of PJSUA's, and what its audio is connected to."""

    leg: SipLeg
    slot: int
    outgoing: bool = False
    answered: bool = False
    confirmed: bool = False
    answered_at: float = 0.0
    refer_handler: ReferHandler | None = None
    player: pj.ClipPlayer | None = None
    playing: int = 0
    stream: pj.AudioPort | None = None
    peer: Dialog | None = None

    @property
    def audio(self) -> int:
        """The conference slot of its audio now, -1 for none. Never kept: the next moment it may be another call's."""
        slot: int = pj.callAudio(self.slot)
        return slot

    def connect(self) -> None:
        """Connect what should be connected and can be, anew after each offer and answer; again changes nothing."""
        audio = self.audio
        if audio == _NO_AUDIO:
            return
        if self.player is not None:
            pj.connectSlots(self.player.getPortId(), audio)
        if self.stream is not None:
            pj.connectSlots(audio, self.stream.getPortId())
            pj.connectSlots(self.stream.getPortId(), audio)
        if self.peer is not None and (peer := self.peer.audio) != _NO_AUDIO:
            pj.connectSlots(audio, peer)
            pj.connectSlots(peer, audio)

    def join(self, other: Dialog) -> None:
        """Connect the two both ways, in PJMEDIA's threads from here on."""
        self.part()
        other.part()
        self.peer, other.peer = other, self
        self.connect()

    def part(self) -> None:
        """Undo `join`."""
        peer = self.peer
        if peer is None:
            return
        self.peer = peer.peer = None
        audio, other = self.audio, peer.audio
        if _NO_AUDIO not in (audio, other):
            pj.disconnectSlots(audio, other)
            pj.disconnectSlots(other, audio)

    def let_go(self) -> None:
        """Let go of all audio; the dialog is over."""
        self.player = self.stream = None
        if self.peer is not None:
            # The connection went with the conference slot.
            self.peer.peer = None
            self.peer = None
