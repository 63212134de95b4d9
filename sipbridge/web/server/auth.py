"""Authentication by API key, and the rate limits per key and per address."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from aiohttp import web

from sipbridge.calls.ports import CallDirectory
from sipbridge.chats.ports import ChatDirectory
from sipbridge.config import Config, is_loopback, matches_any
from sipbridge.errors import InvalidApiKey, KeyOfAnotherProject
from sipbridge.rate_limit import RateLimiter
from sipbridge.web.server.errors import AdminNotLocal, TooManyRequests
from sipbridge.web.server.slots import Slots
from sipbridge.web.server.sources import source_of

logger = logging.getLogger(__name__)

KEY_HEADER = "x-api-key"
WRONG_KEYS_PER_SECOND = 50  # from one address
_MAX_REMEMBERED = 10_000
_LOG_SECONDS = 60.0


class Authenticator:
    """Checks the key of each request. Belongs to one event loop.

    A valid key is limited to `http.max_requests_per_second`. An address that sends too many wrong keys gets 429 for a
    while, also for a valid key, so that guessing is slow. Only keys it has used with success before still work.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        directory: CallDirectory,
        chats: ChatDirectory,
        *,
        admin_from_anywhere: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._directory = directory
        self._chats = chats
        self._admin_from_anywhere = admin_from_anywhere
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._requests: RateLimiter | None = None
        self._per_second = 0
        self._guesses = RateLimiter(WRONG_KEYS_PER_SECOND, clock)
        self._remembered: dict[str, None] = {}  # hashes of address and valid key, the least recently used first
        self._log_due = clock()
        self._slots = Slots()

    def authorize_project(self, request: web.Request) -> None:
        """Return if the key belongs to the project in the path, or to its call or chat, which keeps its first keys.

        Raises `InvalidApiKey`, `KeyOfAnotherProject` or `TooManyRequests`, whether or not what the path names exists.
        """
        key = self._key_of(request)
        path = request.match_info
        client_id, project_id = path["account_id"], path["project_id"]
        call = self._directory.find(client_id, project_id, path.get("call_id", ""))
        chat = self._chats.find(client_id, project_id, path.get("chat_id", ""))
        project = self._config().find_project(client_id, project_id)
        allowed = bool(project and matches_any(project.api_keys, key)) or any(
            each is not None and each.accepts_key(key) for each in (call, chat)
        )
        if not allowed and not self._belongs_to_a_project(key):
            raise InvalidApiKey(f"the key in the header {KEY_HEADER} is not valid")
        self._record_valid_key(request, key)
        if not allowed:
            raise KeyOfAnotherProject("this key belongs to another project")

    def hold_slot(self, request: web.Request) -> AbstractContextManager[None]:
        """Hold a slot while an authorized request is served. Raises `TooManyRequests`."""
        return self._slots.hold(self._hashed(request.headers[KEY_HEADER]), request.match_info["account_id"])

    def authorize_admin(self, request: web.Request) -> None:
        """Return if the key is one of `http.admin.keys`.

        Raises `InvalidApiKey`, `TooManyRequests`, or `AdminNotLocal` if only this machine may send the request.
        """
        if not self._admin_from_anywhere and not is_loopback(request.remote or ""):
            raise AdminNotLocal("send admin requests from the bridge's own machine, or set http.admin.listen")
        key = self._key_of(request)
        if not matches_any(self._config().http.admin.keys, key):
            raise InvalidApiKey(f"the key in the header {KEY_HEADER} is not valid")
        self._record_valid_key(request, key)

    def _key_of(self, request: web.Request) -> str:
        key = request.headers.get(KEY_HEADER)
        if not key:
            raise InvalidApiKey(f"send a key in the header {KEY_HEADER}")
        source = source_of(request.remote)
        if self._hashed(source, key) not in self._remembered and not self._guesses.allows(source):
            self._log_guesses(source)
            raise TooManyRequests("too many wrong keys from this address; wait a second")
        return key

    def _record_valid_key(self, request: web.Request, key: str) -> None:
        source = source_of(request.remote)
        known = self._hashed(source, key)
        if known not in self._remembered:
            self._guesses.refund(source)
        # Removed and added again, so that the first entry is the least recently used one.
        self._remembered.pop(known, None)
        self._remembered[known] = None
        if len(self._remembered) > _MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        if not self._rates.allows(self._hashed(key)):
            raise TooManyRequests("more requests with this key than http.max_requests_per_second; wait a second")

    @property
    def _rates(self) -> RateLimiter:
        """The rates of valid keys, reset if the configured limit has changed."""
        per_second = self._config().http.max_requests_per_second
        if self._requests is None or self._per_second != per_second:
            self._per_second, self._requests = per_second, RateLimiter(per_second, self._clock)
        return self._requests

    def _belongs_to_a_project(self, key: str) -> bool:
        return matches_any((known for _, project in self._config().all_projects() for known in project.api_keys), key)

    def _hashed(self, *parts: str) -> str:
        """Hash with a secret of this process, so that no plain key is kept."""
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._secret, digest_size=16).hexdigest()

    def _log_guesses(self, source: str) -> None:
        now = self._clock()
        if now >= self._log_due:
            self._log_due = now + _LOG_SECONDS
            logger.warning("too many wrong keys from one address", extra={"source": source})
