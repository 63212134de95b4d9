"""The tokens of the gateway: transaction tokens, access tokens, refresh tokens, and tokens for one message."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Literal

from sipbridge.simulators.cxone.digital.messages import Customer

Use = Literal["transaction", "access", "refresh", "message"]


@dataclass(frozen=True, slots=True)
class Token:
    """An issued token: its use, and the channel and customer or the path that it is valid for."""

    use: Use
    channel: str
    customer: Customer
    expires_at: float  # time.monotonic()
    path: str = ""


class Tokens:
    """The tokens that are valid."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def issue(self, use: Use, channel: str, customer: Customer, seconds: float, *, path: str = "") -> str:
        """Issue a token."""
        value = secrets.token_urlsafe(24)
        self._tokens[value] = Token(use, channel, customer, time.monotonic() + seconds, path)
        if len(self._tokens) % 10_000 == 0:
            self._tokens = {each: token for each, token in self._tokens.items() if token.expires_at > time.monotonic()}
        return value

    def check(self, value: object, use: Use, channel: str) -> Token | None:
        """Return a token that is valid for the use and the channel."""
        token = self._tokens.get(value) if isinstance(value, str) else None
        if token is None or (token.use, token.channel) != (use, channel) or token.expires_at <= time.monotonic():
            return None
        return token

    def expire(self) -> int:
        """Invalidate all tokens; return their number."""
        count = len(self._tokens)
        self._tokens.clear()
        return count
