"""The needs of a conversation from the protocol that an agent speaks over its WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from sipbridge.agents.websocket.connection import Connection
from sipbridge.agents.websocket.playback import Playback
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.handoffs.record import HandoffRecord


class Stream(Protocol):
    """The exchange with the agent over one connection. The connection passes it what the agent sends."""

    # True once the agent has requested a handoff, even one that was refused.
    asked: bool

    @property
    def spoke(self) -> bool:
        """True once the agent has sent audio."""

    def start(self) -> None:
        """Send what opens the stream, and begin to receive."""

    def send_audio(self, audio: bytes) -> None:
        """Send mu-law audio of the caller. Called every 20 ms."""

    def send_digit(self, digit: str) -> None:
        """Send a DTMF digit of the caller."""

    def pause(self) -> None:
        """Note that no audio passes until `resume`, and that what was queued has been dropped."""

    def resume(self) -> None:
        """Note that audio comes again."""

    def send_handoff(self, handoff: HandoffRecord) -> None:
        """Send the state of a handoff that the agent did not request, or whose caller it has again."""

    def stop(self) -> None:
        """Send what ends the stream."""


# Makes the stream of a new connection.
StreamFactory = Callable[[Connection, LiveCall, Playback], Stream]
# Returns the protocol's own headers for the HTTP upgrade of a URL.
UpgradeHeaders = Callable[[str], Mapping[str, str]]
