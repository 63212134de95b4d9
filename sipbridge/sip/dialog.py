"""A live call of PJSUA's and what its audio is connected to. Everything here runs on the SIP thread."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pjsua2 as pj

from sipbridge.calls.ports import Referee

if TYPE_CHECKING:
    from sipbridge.sip.leg import SipLeg

_NO_AUDIO = -1


@dataclass(slots=True, eq=False)
class Dialog:
    """A slot of PJSUA's, and its audio: a conference slot of its own, anew after each offer and answer."""

    leg: SipLeg
    slot: int
    outgoing: bool = False
    answered_at: float = 0.0
    refer_accepted: bool = False
    referee: Referee | None = None
    audio: int = _NO_AUDIO
    player: pj.ClipPlayer | None = None
    playing: int = 0
    stream: pj.AudioPort | None = None
    peer: Dialog | None = None

    def audio_moved(self, conference_slot: int) -> None:
        """Take note of where its audio is now, -1 for nowhere, and connect again what belongs to it."""
        self.audio = conference_slot
        self.connect()

    def connect(self) -> None:
        """Connect what should be connected and can be; doing so again changes nothing."""
        if self.audio == _NO_AUDIO:
            return
        # A BYE on the heels of a re-INVITE takes the slot away before we hear of either.
        with suppress(pj.Error):
            if self.player is not None:
                pj.connectSlots(self.player.getPortId(), self.audio)
            if self.stream is not None:
                pj.connectSlots(self.audio, self.stream.getPortId())
                pj.connectSlots(self.stream.getPortId(), self.audio)
            if self.peer is not None and self.peer.audio != _NO_AUDIO:
                pj.connectSlots(self.audio, self.peer.audio)
                pj.connectSlots(self.peer.audio, self.audio)

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
        if _NO_AUDIO not in (self.audio, peer.audio):
            pj.disconnectSlots(self.audio, peer.audio)
            pj.disconnectSlots(peer.audio, self.audio)

    def let_go(self) -> None:
        """Let go of all audio; the dialog is over."""
        self.player = self.stream = None
        if self.peer is not None:
            # PJSUA has taken the conference slot away, and may have given it to another call.
            self.peer.peer = None
            self.peer = None
