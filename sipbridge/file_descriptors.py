"""The budget of file descriptors: as many as the process may have, the last of them reserved for calls in progress.

The kernel gives out the lowest number that is free (POSIX, open(2)). So if no new call and no new connection keeps a
descriptor from `reserved_from()` on, those stay free for what a call in progress may still need: the agent's socket,
the Signal, the store.
"""

from __future__ import annotations

import resource

from sipbridge.errors import StartupError

# Files and sockets of a bridge without calls, and some for connections to its API.
_BASE = 64
_MAX_RESERVED = 512
_RESERVED_PART = 8


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one."""
    hard = _hard_limit()
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def shortage(calls: int, per_call: int, for_chats: int = 0) -> str | None:
    """Return a warning if the hard limit carries fewer than `calls`, besides the descriptors `for_chats`; else None.

    Raises `StartupError` if it does not carry a single call.
    """
    hard = _hard_limit()
    free = hard - _reserved(hard) - _BASE
    if free >= calls * per_call + for_chats:
        return None
    used = _BASE + calls * per_call + for_chats
    needed = used + min(_MAX_RESERVED, used // (_RESERVED_PART - 1) + 1)
    to_lower = "sip.max_calls or max_chats" if for_chats else "sip.max_calls"
    remedy = f"raise it to {needed} (ulimit -n, LimitNOFILE of systemd), or lower {to_lower}"
    if free < per_call:
        raise StartupError(f"open files: the limit of {hard} is too low for a single call; {remedy}")
    carried = max(0, free - for_chats) // per_call
    besides = " besides max_chats chats" if for_chats else ""
    return f"open files: the limit of {hard} carries {carried} calls{besides}, sip.max_calls is {calls}; {remedy}"


def reserved_from() -> int:
    """Return the lowest reserved descriptor: the last eighth of them is reserved, at most 512."""
    return limit() - _reserved(limit())


def is_reserved(descriptor: int) -> bool:
    """True for a reserved descriptor, which no new call and no new connection may keep."""
    return descriptor >= reserved_from()


def limit() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def _hard_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return hard


def _reserved(descriptors: int) -> int:
    return min(_MAX_RESERVED, descriptors // _RESERVED_PART)
