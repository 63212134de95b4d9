"""Whether an agent was there: one rule for agents of every kind that end the conversation on their own."""

from __future__ import annotations

# What an agent takes at most to accept, find that it cannot serve, and leave.
TRIAL_SECONDS = 2.0


def took_call(seconds: float, *, spoke: bool, asked: bool, could_speak: bool = True) -> bool:
    """Return True if an agent that leaves so many seconds after it was connected has taken the call.

    It has sent audio, or asked for a handoff. One that listened without a word must have stayed for a while, and been
    able to speak: it never was if its SDP let it send no audio.
    """
    return spoke or asked or (could_speak and seconds >= TRIAL_SECONDS)
