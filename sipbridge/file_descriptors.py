"""File descriptors: as many as may be had, the last of them kept for the calls that are up.

The kernel gives the lowest number that is free (POSIX, open(2)). So where nothing new keeps a descriptor from
`first_kept()` on, neither a caller nor a connection, those are left for what a call that is up may still need: the
agent's socket, the Signal, the store.
"""

from __future__ import annotations

import resource

from sipbridge.errors import StartupError

# Files and sockets of a bridge with no call, and some for whoever looks in.
_OWN = 64
_MOST_KEPT = 512
_KEPT_PART = 8


def claim(calls: int, per_call: int) -> str | None:
    """Raise the limit of open files as far as this process may; returns a warning where `calls` need more.

    Raises `StartupError` where not one call could be carried.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    carried = (first_kept() - _OWN) // per_call
    if carried >= calls:
        return None
    open_at_most = _OWN + calls * per_call
    needed = open_at_most + min(_MOST_KEPT, open_at_most // (_KEPT_PART - 1) + 1)
    cure = f"raise it to {needed} (ulimit -n, LimitNOFILE of systemd), or lower sip.max_calls"
    if carried < 1:
        raise StartupError(f"open files: the limit of {most} is too low for a single call; {cure}")
    return f"open files: the limit of {most} carries {carried} calls, sip.max_calls is {calls}; {cure}"


def first_kept() -> int:
    """Return the first descriptor that nothing new may keep: those of the last eighth, at most 512."""
    return limit() - min(_MOST_KEPT, limit() // _KEPT_PART)


def limit() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def is_kept(descriptor: int) -> bool:
    """Whether this is one of those, so that whoever is new has to go."""
    return descriptor >= first_kept()
