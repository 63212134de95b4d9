"""Tokens and keys that callers show to us. Only a digest of each is kept."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_SECRET_BYTES = 256  # a longer token is refused on the trunk
SAFE_CHARACTERS = 16  # a shorter secret can be guessed

_HASH_PREFIX = "sha256:"
_HASH = re.compile(r"sha256:([0-9a-f]{16,128}):([0-9a-f]{64})")
_MASK = "**********"


class HashedSecret:
    """A secret that can be recognised and not read back.

    Made from plain text or from a hash, `sha256:<salt hex>:<hex digest of HMAC-SHA256(salt, secret)>`. It is checked
    for each INVITE on the SIP thread, so the hash is a fast one and no key derivation that takes milliseconds on
    purpose; that is enough for long random strings, which cannot be guessed, and is not for words that people choose.

    Raises `ValueError` for a text that can be neither a secret nor a hash; the message never shows the text.
    """

    __slots__ = ("_digest", "_salt")

    def __init__(self, text: str) -> None:
        if text.startswith(_HASH_PREFIX):
            parts = _HASH.fullmatch(text)
            if not parts:
                raise ValueError("is not a hash that can be read; make one with `sipbridge hash-token`")
            self._salt, self._digest = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
        else:
            check_plain(text)
            self._salt = secrets.token_bytes(16)
            self._digest = _digest(self._salt, text)

    def matches(self, candidate: str) -> bool:
        """Whether this is the secret; takes as long for a wrong one as for the right one."""
        return hmac.compare_digest(self._digest, _digest(self._salt, candidate))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_MASK!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 (pydantic's own signature)
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(lambda _: _MASK)
        )

    @classmethod
    def _read(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("is not text; put it in quotes")  # noqa: TRY004 (pydantic reports a ValueError as a fault of the field)
        return cls(value)


class AuthToken(HashedSecret):
    """What an INVITE must show to reach a project."""

    __slots__ = ()


class ApiKey(HashedSecret):
    """What an HTTP request must show to read and steer a project's calls."""

    __slots__ = ()


def matches_any(known: Iterable[HashedSecret], candidate: str) -> bool:
    """Whether it is one of these; each is compared, so that the time does not tell which."""
    return any([secret.matches(candidate) for secret in known])  # noqa: C419 (a generator would stop at the first)


def is_hash(text: str) -> bool:
    """Whether a text is a hash made by `hash_secret`."""
    return _HASH.fullmatch(text) is not None


def hash_secret(text: str) -> str:
    """Hash a secret for the configuration file, under a new salt. Raises `ValueError` as `check_plain` does."""
    check_plain(text)
    salt = secrets.token_bytes(16)
    return f"{_HASH_PREFIX}{salt.hex()}:{_digest(salt, text).hex()}"


def check_plain(text: str) -> None:
    """Raise `ValueError` unless the text survives a trip in a SIP or HTTP header unchanged."""
    if not text:
        raise ValueError("is empty; give a long random text")
    if text.startswith(_HASH_PREFIX):
        raise ValueError("is a hash already; give the secret itself")
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ValueError("cannot travel in a header; use printable ASCII with no blank at either end")
    if len(text) > MAX_SECRET_BYTES:
        raise ValueError(f"is too long; use at most {MAX_SECRET_BYTES} characters")


def _digest(salt: bytes, text: str) -> bytes:
    # surrogatepass: bytes that are no UTF-8 reach us as lone surrogates, and must be a wrong token, not an error.
    return hmac.digest(salt, text.encode("utf-8", "surrogatepass"), "sha256")
