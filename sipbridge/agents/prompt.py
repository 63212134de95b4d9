"""The agent that plays a recording."""

from __future__ import annotations

import asyncio

from sipbridge.calls.handoff_request import HandoffRequest
from sipbridge.calls.model import HandoffRecord, Identity
from sipbridge.calls.ports import ConversationEnd, Leg, LiveCall
from sipbridge.config import PromptAgentConfig


class PromptAgent:
    """Implements `calls.ports.Agent`: always there, says one thing. The recording was loaded at start-up."""

    def __init__(self, config: PromptAgentConfig) -> None:
        self._config = config

    async def connect(self, _identity: Identity, leg: Leg) -> PromptConversation:
        """Return at once: there is nobody to reach."""
        return PromptConversation(self._config, leg)


class PromptConversation:
    """Implements `calls.ports.Conversation`."""

    def __init__(self, config: PromptAgentConfig, leg: Leg) -> None:
        self._config = config
        self._leg = leg
        self._spoken = asyncio.Event()

    async def run(self, _call: LiveCall) -> ConversationEnd:
        """Play the recording to its end; then hand off or hang up, as the project says."""
        try:
            if self._config.audio is not None:
                await self._leg.play(str(self._config.audio))
        finally:
            self._spoken.set()
        if self._config.then == "hangup":
            return ConversationEnd(None, "prompt_ended")
        return ConversationEnd(HandoffRequest(destination=self._config.destination, reason=self._config.reason or None))

    async def finish_speaking(self) -> None:
        """Return at the end of the recording."""
        await self._spoken.wait()

    def press(self, digit: str) -> None:
        """Nobody listens."""

    async def close(self, _handoff: HandoffRecord | None) -> None:
        """Nothing is held."""
