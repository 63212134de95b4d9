"""The credentials of an outgoing call."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """The user name and the password for the challenges of a far end (RFC 3261, 22)."""

    username: str
    password: str = field(repr=False)
