"""The audio of one call in PJMEDIA's conference. Everything here runs on the SIP thread."""

from __future__ import annotations

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.pjsip_functions import ConferencePort, MediaFunctions

_NO_AUDIO = -1


class DialogMedia:
    """The connections of the audio of a PJSUA slot: a clip, a stream, the audio of another call."""

    def __init__(self, slot: int, native: MediaFunctions) -> None:
        self._slot = slot
        self._native = native
        self._player: ConferencePort | None = None
        self._stream: int | None = None
        # The stream's port in the conference, made if the audio cannot go past it.
        self._stream_port: ConferencePort | None = None
        self.peer: DialogMedia | None = None
        # The DTMF digit of the far end that the peer does not get, 0 for none.
        self._withheld_digit = 0

    def connect(self) -> None:
        """Make all connections for which audio exists. To be repeated after each offer and answer; idempotent."""
        audio = self.conference_slot()
        if audio == _NO_AUDIO:
            if self._stream is not None:
                self._native.closeDirectAudio(self._slot)
            if self.peer is not None:
                self._native.closeRelay(self._slot)
            return
        connect = self._native.connectSlots
        if self._player is not None:
            connect(self._player.getPortId(), audio)
        if self._stream is not None:
            self._connect_stream(self._stream, audio)
        if self.peer is not None:
            self._connect_peer(self.peer, audio)

    def play(self, clip: pj.Clip, token: int) -> None:
        """Play a clip instead of the present one. At the end of one that is not looped, EventClipDone has the token."""
        self.stop_playing()
        self._player = self._native.ClipPlayer(clip, token)
        self.connect()

    def stop_playing(self) -> None:
        """Stop the clip, if there is one."""
        self._player = None
        self.connect()

    def open_stream(self, stream: int) -> None:
        """Connect an audio stream both ways."""
        self._stream = stream
        self.connect()

    def close_stream(self) -> None:
        """Disconnect the audio stream."""
        if self._stream is not None:
            self._stream = self._stream_port = None
            self._native.closeDirectAudio(self._slot)

    def _connect_stream(self, stream: int, audio: int) -> None:
        """Let the stream's audio go past the conference, unless that mixes it with a clip or converts its codec."""
        if self._player is None and self._native.openDirectAudio(self._slot, stream):
            self._stream_port = None
            return
        self._native.closeDirectAudio(self._slot)
        if self._stream_port is None:
            self._stream_port = self._native.AudioPort(stream)
        port = self._stream_port.getPortId()
        self._native.connectSlots(audio, port)
        self._native.connectSlots(port, audio)

    def _connect_peer(self, peer: DialogMedia, audio: int) -> None:
        """Relay the audio of two calls, unless the conference mixes it with a clip or converts a codec."""
        other = peer.conference_slot()
        if other == _NO_AUDIO:
            return
        playing = self._player is not None or peer._player is not None
        if not playing and self._native.openRelay(self._slot, self._withheld_digit, peer._slot, peer._withheld_digit):
            return
        for slot in (self._slot, peer._slot):
            self._native.closeRelay(slot)
        self._native.connectSlots(audio, other)
        self._native.connectSlots(other, audio)

    def join(self, other: DialogMedia, withheld_digit: int = 0) -> None:
        """Connect the audio of two calls both ways, and pass on DTMF digits, except one of this call's far end."""
        self.part()
        other.part()
        self._withheld_digit, other._withheld_digit = withheld_digit, 0
        self.peer, other.peer = other, self
        self.connect()

    def part(self) -> None:
        """Undo `join`."""
        peer = self.peer
        if peer is None:
            return
        self.peer = peer.peer = None
        self._native.closeRelay(self._slot)
        audio, other = self.conference_slot(), peer.conference_slot()
        if _NO_AUDIO not in (audio, other):
            self._native.disconnectSlots(audio, other)
            self._native.disconnectSlots(other, audio)

    def level(self) -> int:
        """Return the loudness of the far end in the last 20 ms, 0 to 255 (native/media.hpp)."""
        audio = self.conference_slot()
        if audio == _NO_AUDIO:
            return 0
        relayed = self._native.relayLevel(self._slot)
        return relayed if relayed >= 0 else self._native.slotLevel(audio)

    def close(self) -> None:
        """Release everything, at the end of the call. Its connections ended with its conference slot."""
        self._player = None
        self.close_stream()
        if self.peer is not None:
            self._native.closeRelay(self._slot)
            self.peer.peer = None
            self.peer = None

    def conference_slot(self) -> int:
        """Return the conference slot of the audio, -1 for none. Never keep it: it may be another call's soon."""
        return self._native.callAudio(self._slot)
