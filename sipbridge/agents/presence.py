"""The difference between an agent that served a call and one that left at once, for agents of every kind."""

from __future__ import annotations

# The longest time that an agent takes to accept a call, notice that it cannot serve it, and leave.
TRIAL_SECONDS = 2.0


def took_call(seconds: float, *, spoke: bool, asked: bool, could_speak: bool = True) -> bool:
    """Return True if an agent has served the call that it leaves `seconds` after it was connected.

    It has sent audio or requested a handoff. An agent that only listened must have stayed for `TRIAL_SECONDS`, and
    must have been able to speak, which its SDP may have ruled out.
    """
    return spoke or asked or (could_speak and seconds >= TRIAL_SECONDS)
