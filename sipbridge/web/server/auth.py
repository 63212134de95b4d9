"""The admission of requests: by API key or by the token of a box, with the rate limit per key."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto

from aiohttp import web

from sipbridge.calls.ports.live_call import CallDirectory
from sipbridge.chats.ports import ChannelBox, ChatDirectory
from sipbridge.config import Config, is_loopback, matches_any
from sipbridge.errors import InvalidApiKey, KeyOfAnotherProject
from sipbridge.rate_limit import RateLimiter
from sipbridge.web.server.errors import AdminNotLocal, BoxTokenInvalid, TooManyRequests
from sipbridge.web.server.guesses import Guesses
from sipbridge.web.server.slots import Slots
from sipbridge.web.server.sources import source_of

KEY_HEADER = "x-api-key"

FindBox = Callable[[str, str, str], ChannelBox | None]  # by client, project and channel


class Access(Enum):
    """The requests that an operation admits."""

    PUBLIC = auto()
    PROJECT = auto()  # with a key of the project in the path, or of its call or chat
    CHAT_STREAM = auto()  # the same; the handler holds the slot, once it knows if the chat is in progress
    ADMIN = auto()  # with one of `http.admin.keys`
    ADMIN_PAGE = auto()  # from where admin requests may come; it shows nothing without a key
    BOX = auto()  # with a token of the box in the path
    BOX_CREDENTIALS = auto()  # any: the handler checks the credentials in the body


class Authenticator:
    """Checks the key or token of each request. Belongs to one event loop.

    A valid key is limited to `http.max_requests_per_second`; `guesses` limits wrong ones.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        directory: CallDirectory,
        chats: ChatDirectory,
        find_box: FindBox,
        guesses: Guesses,
        slots: Slots,
        *,
        admin_from_anywhere: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._directory = directory
        self._chats = chats
        self._find_box = find_box
        self._guesses = guesses
        self._slots = slots
        self._admin_from_anywhere = admin_from_anywhere
        self._clock = clock
        self._requests: RateLimiter | None = None
        self._per_second = 0

    def admit(self, access: Access, request: web.Request) -> AbstractContextManager[None]:
        """Return the slot to hold while the request is served.

        Raises what the methods below raise, or `TooManyRequests` if there is no slot.
        """
        match access:
            case Access.PUBLIC:
                return nullcontext()
            case Access.ADMIN:
                self.authorize_admin(request)
                return nullcontext()
            case Access.ADMIN_PAGE:
                self._check_admin_source(request)
                return nullcontext()
            case Access.BOX_CREDENTIALS:
                return self._slots.hold_guest(source_of(request.remote))
            case Access.BOX:
                self.authorize_box(request)
                return self._slots.hold(f"box {'/'.join(_box_key(request))}", request.match_info["account_id"])
            case Access.PROJECT | Access.CHAT_STREAM:
                key, client = self.authorize_project(request), request.match_info["account_id"]
                return nullcontext() if access is Access.CHAT_STREAM else self._slots.hold(key, client)

    def authorize_project(self, request: web.Request) -> str:
        """Return the hash of the key if it is one of the project in the path, or of its call or chat.

        A call or chat keeps its first keys.

        Raises `InvalidApiKey`, `KeyOfAnotherProject` or `TooManyRequests`, whether or not what the path names exists.
        """
        key, guess = self._key_of(request)
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
        hashed = self._record_valid_key(request, key, guess)
        if not allowed:
            raise KeyOfAnotherProject("this key belongs to another project")
        return hashed

    def authorize_admin(self, request: web.Request) -> None:
        """Return if the key is one of `http.admin.keys`.

        Raises `InvalidApiKey`, `TooManyRequests`, or `AdminNotLocal` if only this machine may send the request.
        """
        self._check_admin_source(request)
        key, guess = self._key_of(request)
        if not matches_any(self._config().http.admin.keys, key):
            raise InvalidApiKey(f"the key in the header {KEY_HEADER} is not valid")
        self._record_valid_key(request, key, guess)

    def _check_admin_source(self, request: web.Request) -> None:
        if not self._admin_from_anywhere and not is_loopback(request.remote or ""):
            raise AdminNotLocal("send admin requests from the bridge's own machine, or set http.admin.listen")

    def authorize_box(self, request: web.Request) -> None:
        """Return if the Bearer token (RFC 6750, 2.1) is one of the box in the path.

        Raises `BoxTokenInvalid` or `TooManyRequests`, whether or not there is such a box. A valid token has no rate
        limit: CXone limits itself, and what it sends are the words of human agents.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise BoxTokenInvalid("send a token of this box: Authorization: Bearer TOKEN")
        source = source_of(request.remote)
        guess = self._guesses.check(source, token)
        box = self._find_box(*_box_key(request))
        if box is None or not box.accepts_token(token):
            raise BoxTokenInvalid("the Bearer token has expired, or no box with this URL has issued it")
        self._guesses.record_valid(source, guess)

    def _key_of(self, request: web.Request) -> tuple[str, str]:
        """Return the key of a request, and the hash by which `guesses` knows it."""
        key = request.headers.get(KEY_HEADER)
        if not key:
            raise InvalidApiKey(f"send a key in the header {KEY_HEADER}")
        return key, self._guesses.check(source_of(request.remote), key)

    def _record_valid_key(self, request: web.Request, key: str, guess: str) -> str:
        """Return the hash by which rates and slots know the key, from all addresses."""
        self._guesses.record_valid(source_of(request.remote), guess)
        hashed = self._guesses.hashed(key)
        if not self._rates.allows(hashed):
            raise TooManyRequests("more requests with this key than http.max_requests_per_second; wait a second")
        return hashed

    @property
    def _rates(self) -> RateLimiter:
        """The rates of valid keys, reset if the configured limit has changed."""
        per_second = self._config().http.max_requests_per_second
        if self._requests is None or self._per_second != per_second:
            self._per_second, self._requests = per_second, RateLimiter(per_second, self._clock)
        return self._requests

    def _belongs_to_a_project(self, key: str) -> bool:
        return matches_any((known for _, project in self._config().all_projects() for known in project.api_keys), key)


def _box_key(request: web.Request) -> tuple[str, str, str]:
    path = request.match_info
    return path["account_id"], path["project_id"], path["channel"]
