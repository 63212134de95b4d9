"""The receiver of the messages of a WebSocket connection."""

from __future__ import annotations

from typing import Protocol

Payload = bytes | bytearray


class Receiver(Protocol):
    """Receives what the agent sends over a connection."""

    def receive_text(self, payload: Payload) -> None:
        """Handle a text message."""

    def receive_binary(self, payload: Payload) -> None:
        """Handle a binary message."""

    def note_fault(self, fault: str, message: str) -> None:
        """Note that the agent misuses the connection."""


class _Ignore:
    """Implements `Receiver` before the stream begins and after its end, when no message has a meaning."""

    def receive_text(self, payload: Payload) -> None:
        """Ignore it."""

    def receive_binary(self, payload: Payload) -> None:
        """Ignore it."""

    def note_fault(self, fault: str, message: str) -> None:
        """Ignore it."""


IGNORE = _Ignore()
