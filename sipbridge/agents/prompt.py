"""The agent that plays a recording."""

from __future__ import annotations

import asyncio

from sipbridge.calls.endings import PROMPT_ENDED
from sipbridge.calls.model import Identity
from sipbridge.calls.ports.agents import ConversationEnd
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import Leg
from sipbridge.config import PromptAgentConfig
from sipbridge.handoffs.record import HandoffRecord
from sipbridge.handoffs.request import HandoffRequest


class PromptAgent:
    """Implements `calls.ports.Agent`: always available. `clip` is its recording, None if there is none."""

    def __init__(self, config: PromptAgentConfig, clip: str | None) -> None:
        self._clip = clip
        self._end = _end(config)

    async def connect(self, _identity: Identity, leg: Leg) -> PromptConversation:
        """Return at once: there is no peer to connect to."""
        return PromptConversation(self._end, self._clip, leg)


def _end(config: PromptAgentConfig) -> ConversationEnd:
    if config.then == "hangup":
        return ConversationEnd(None, PROMPT_ENDED)
    return ConversationEnd(HandoffRequest(destination=config.destination, reason=config.reason or None))


class PromptConversation:
    """Implements `calls.ports.Conversation`."""

    def __init__(self, end: ConversationEnd, clip: str | None, leg: Leg) -> None:
        self._end = end
        self._clip = clip
        self._leg = leg
        self._played = asyncio.Event()

    async def run(self, _call: LiveCall) -> ConversationEnd:
        """Play the recording to its end. Then hand off or hang up, as the project is configured."""
        try:
            if self._clip is not None:
                await self._leg.play(self._clip)
        finally:
            self._played.set()
        return self._end

    async def finish_speaking(self) -> None:
        """Return at the end of the recording."""
        await self._played.wait()

    def send_digit(self, digit: str) -> None:
        """Ignore the digit."""

    async def mute(self, _handoff: HandoffRecord) -> bool:
        """Return False: a recording cannot get its caller back."""
        return False

    async def unmute(self) -> None:
        """Do nothing: it is never muted."""

    def report(self, _handoff: HandoffRecord) -> None:
        """Do nothing: it is never muted."""

    async def close(self, _handoff: HandoffRecord | None) -> None:
        """Return at once: no resources are held."""
