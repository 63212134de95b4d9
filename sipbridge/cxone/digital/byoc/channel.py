"""A bring-your-own channel, and its box, which CXone calls."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from sipbridge.chats.happenings import AgentTyping
from sipbridge.chats.model import MAX_TEXT_CHARACTERS, ChatRecord
from sipbridge.chats.ports import BOX_SECONDS, Availability, BoxMessage, Report
from sipbridge.config import ByocChannelConfig
from sipbridge.cxone.digital.byoc.parts import ByocParts
from sipbridge.cxone.digital.byoc.session import ByocSession

TOKEN_SECONDS = 3600
# By how much the clocks of nodes may differ: no node takes the token of another for expired while CXone uses it.
CLOCK_SECONDS = 2 * 3600
_ALGORITHM = "HS256"


class ByocChannel:
    """Implements `chats.ports.DigitalChannel` and `chats.ports.ChannelBox`."""

    max_characters = MAX_TEXT_CHARACTERS
    links_are_text = False

    def __init__(self, config: ByocChannelConfig, parts: ByocParts) -> None:
        self._config = config
        self._parts = parts

    async def availability(self) -> Availability:
        """A bring-your-own channel takes messages at any time; CXone does not say who is there."""
        return Availability("unknown", reason="CXone does not report the availability of this kind of channel")

    def session(
        self, record: ChatRecord, *, resumed: bool, report: Report, is_new: Callable[[str], bool]
    ) -> ByocSession:
        """Return the session of a chat."""
        return ByocSession(self._parts, record, resumed=resumed, report=report, is_new=is_new)

    # ------------------------------------------------------------ the box

    def issue_token(self, client_id: str, client_secret: str) -> tuple[str, int] | None:
        """Return a token for CXone and its life in seconds; None for wrong credentials."""
        box = self._config.box
        expected = f"{box.client_id}\n{box.client_secret.get_secret_value()}"
        if not hmac.compare_digest(expected.encode(), f"{client_id}\n{client_secret}".encode("utf-8", "surrogatepass")):
            return None
        claims = {"box": self._name, "exp": int(time.time()) + TOKEN_SECONDS + CLOCK_SECONDS}
        return jwt.encode(claims, self._signing_key(), _ALGORITHM), TOKEN_SECONDS

    def accepts_token(self, token: str) -> bool:
        """True if a token was issued for this box and has not expired. It survives a restart."""
        try:
            claims = jwt.decode(token, self._signing_key(), [_ALGORITHM], options={"require": ["exp", "box"]})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return bool(claims["box"] == self._name)

    @property
    def _name(self) -> str:
        """The name of the box in its tokens."""
        return "/".join(self._parts.key)

    def _signing_key(self) -> bytes:
        # A separate key for this purpose, of the length that HS256 requires (RFC 7518, 3.2).
        secret = self._config.box.client_secret.get_secret_value().encode()
        return hashlib.blake2b(secret, digest_size=32, person=b"sipbridge box").digest()

    async def take_message(self, thread_id: str, body: Mapping[str, Any]) -> BoxMessage | None:
        """Take a message of the human agent; return it once it is stored. None if no live chat has the thread.

        Raises `TimeoutError` after `BOX_SECONDS`, and `HttpWithheld` if another node may have the chat.
        """
        session = self._parts.threads.find(self._parts.key, thread_id)
        if session is None:
            return None
        async with asyncio.timeout(BOX_SECONDS):
            return await session.take(dict(body))

    def show_typing(self, thread_id: str, *, on: bool) -> bool:
        """Pass on that the human agent types; return False if no live chat has the thread."""
        session = self._parts.threads.find(self._parts.key, thread_id)
        if session is not None:
            session.report(AgentTyping(on))
        return session is not None

    def release(self, thread_id: str) -> bool:
        """End a chat at the request of a Studio script; return False if no live chat has the thread."""
        session = self._parts.threads.find(self._parts.key, thread_id)
        if session is not None:
            session.release()
        return session is not None
