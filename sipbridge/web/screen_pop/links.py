"""Links that show one handoff for a limited time and need no key, because a screen-pop has none."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Self

import jwt
import orjson

from sipbridge.calls.model import CallRecord
from sipbridge.chats.model import ChatRecord
from sipbridge.config import HttpConfig
from sipbridge.web.server.errors import ExpiredLink, InvalidLink

_ALGORITHM = "HS256"


def _base64(data: bytes) -> bytes:
    """RFC 7515, 2: URL-safe, no padding."""
    return urlsafe_b64encode(data).rstrip(b"=")


_HEADER = _base64(orjson.dumps({"alg": _ALGORITHM, "typ": "JWT"}))


@dataclass(frozen=True, slots=True)
class PopTarget:
    """The call or chat that a link shows: `call_id` is the id of either. `expires_at` is in seconds since 1970."""

    client: str
    project: str
    call_id: str
    expires_at: float


class PopLinks:
    """Pop links `PUBLIC_URL/pop/TOKEN`. The token is a signed JWT (RFC 7519) that names a call or chat."""

    def __init__(self, public_url: str, secret: str, seconds: float) -> None:
        self._prefix = f"{public_url.rstrip('/')}/pop/"
        # A separate key for this purpose, of the length that HS256 requires (RFC 7518, 3.2).
        self._key = hashlib.blake2b(secret.encode(), digest_size=32, person=b"sipbridge pop").digest()
        self._seconds = seconds

    @classmethod
    def from_config(cls, config: HttpConfig) -> Self:
        """Use `http.pop_link_secret`, or else a random secret, whose links are invalid after a restart."""
        secret = config.pop_link_secret.get_secret_value() if config.pop_link_secret else secrets.token_hex(32)
        return cls(config.public_url, secret, config.pop_link_seconds)

    def make(self, record: CallRecord) -> str:
        """Make the link of a call. It is valid from now on for `http.pop_link_seconds`."""
        return self._make(record.client, record.project, record.call_id)

    def make_for_chat(self, record: ChatRecord) -> str:
        """Make the link of a chat, as `make` does."""
        return self._make(record.client, record.project, record.chat_id)

    def _make(self, client: str, project: str, record_id: str) -> str:
        claims = {
            "client": client,
            "project": project,
            "call": record_id,
            "exp": int(time.time() + self._seconds),
        }
        # Every handoff makes a link. jwt.encode prepares key and header each time and takes ten times as long.
        signed = b".".join((_HEADER, _base64(orjson.dumps(claims))))
        signature = _base64(hmac.digest(self._key, signed, "sha256"))
        return f"{self._prefix}{signed.decode()}.{signature.decode()}"

    def verify(self, token: str) -> PopTarget:
        """Return the call or chat that a token names. Raises `InvalidLink`."""
        try:
            claims = jwt.decode(
                token, self._key, [_ALGORITHM], options={"require": ["exp", "client", "project", "call"]}
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredLink("this link has expired") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise InvalidLink("this link is not valid") from None
        return PopTarget(claims["client"], claims["project"], claims["call"], claims["exp"])
