"""The seam between calls and `agents`: a project's agent, and its conversation with one caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sipbridge.calls.endings import AGENT_ENDED, Ending
from sipbridge.calls.model import Identity
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.calls.ports.sip import Leg
from sipbridge.handoffs.record import HandoffRecord
from sipbridge.handoffs.request import HandoffRequest


@dataclass(frozen=True, slots=True)
class ConversationEnd:
    """The end of a conversation by its agent, with a handoff or without."""

    handoff: HandoffRequest | None
    ending: Ending = AGENT_ENDED


class Conversation(Protocol):
    """The conversation of one agent with one caller."""

    async def run(self, call: LiveCall) -> ConversationEnd:
        """Talk until the agent ends the conversation or is lost (`AgentLost`, or any other exception).

        An agent that asks for a handoff and stays does so by `call.request_handoff`, and is notified of its errors.
        Cancelled when the caller hangs up, or when the end of the conversation is decided and the agent has finished
        speaking; after that no audio passes between the agent and the caller.
        """

    async def finish_speaking(self) -> None:
        """Return once all that the agent has said so far was played to the caller, also if `run` has ended.

        If it has, no audio passes between the agent and the caller after this, even if this is cancelled.
        """

    def send_digit(self, digit: str) -> None:
        """Pass a DTMF digit of the caller to the agent (`telephony.dtmf`)."""

    async def mute(self, handoff: HandoffRecord) -> bool:
        """Let no audio pass until `unmute`, and keep the agent meanwhile; `run` goes on.

        Return False if the agent cannot get its caller back. Then nothing has changed.
        """

    async def unmute(self) -> None:
        """Let audio pass again. Raises `LegEnded` if the caller's leg or the agent's has ended."""

    def report(self, handoff: HandoffRecord) -> None:
        """Notify the agent that it has its caller back, and of the outcome of the handoff."""

    async def close(self, handoff: HandoffRecord | None) -> None:
        """Release the agent, and notify it of the handoff's outcome if there was one. Never raises."""


class Agent(Protocol):
    """A project's agent."""

    async def connect(self, identity: Identity, leg: Leg) -> Conversation:
        """Connect to the agent for a caller whose leg is not answered yet. Raises `AgentUnavailable`.

        If that takes time, the caller gets 180 meanwhile, by `leg.ring()`.
        """
