"""The limit on guesses: wrong keys, tokens and credentials from one address."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable

from aiohttp import web

from sipbridge.rate_limit import RateLimiter
from sipbridge.web.server.errors import TooManyRequests

logger = logging.getLogger(__name__)

GUESSES_PER_SECOND = 50  # from one address
_MAX_REMEMBERED = 10_000
_LOG_SECONDS = 60.0


class Guesses:
    """The secrets that each address has sent. Belongs to one event loop.

    An address that sends too many wrong ones gets 429 for a while, also for a valid one, so that guessing is slow. Only
    those that it has used with success before still work.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._limit = RateLimiter(GUESSES_PER_SECOND, clock)
        self._remembered: dict[str, None] = {}  # hashes of address and valid secret, the least recently used first
        self._log_due = clock()

    def check(self, source: str, *secret: str) -> str:
        """Return the hash of a secret that the address may send now, for `record_valid`. Raises `TooManyRequests`."""
        guess = self.hashed(source, *secret)
        if guess not in self._remembered and not self._limit.allows(source):
            self._log(source)
            raise TooManyRequests("too many wrong keys or tokens from this address; wait a second")
        return guess

    def record_valid(self, source: str, known: str) -> None:
        """Note that the secret with this hash, which was checked, is valid: it was not a guess."""
        if known not in self._remembered:
            self._limit.refund(source)
        # Removed and added again, so that the first entry is the least recently used one.
        self._remembered.pop(known, None)
        self._remembered[known] = None
        if len(self._remembered) > _MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    def hashed(self, *parts: str) -> str:
        """Hash with a secret of this process, so that no plain key is kept."""
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._secret, digest_size=16).hexdigest()

    def _log(self, source: str) -> None:
        now = self._clock()
        if now >= self._log_due:
            self._log_due = now + _LOG_SECONDS
            logger.warning("too many wrong keys or tokens from one address", extra={"source": source})


GUESSES = web.AppKey("guesses", Guesses)
