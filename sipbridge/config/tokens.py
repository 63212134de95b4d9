"""Tokens of INVITEs and keys of HTTP requests. Only a digest of each is kept."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_SECRET_BYTES = 256  # an INVITE with a longer token is rejected
SAFE_CHARACTERS = 16  # a shorter secret can be guessed

_HASH_PREFIX = "sha256:"
_HASH = re.compile(r"sha256:([0-9a-f]{16,128}):([0-9a-f]{64})")
_MASK = "**********"


class HashedSecret:
    """A secret that can be recognised but not read back.

    Made from plain text or from a hash, `sha256:<salt hex>:<hex digest of HMAC-SHA256(salt, secret)>`. The SIP thread
    checks it for each INVITE, so the hash is fast, unlike a key derivation, which takes milliseconds on purpose. A fast
    hash protects long random strings, which cannot be guessed, but not words that people choose.

    Raises `ValueError` for a text that is neither a valid secret nor a valid hash. The error does not show the text.
    """

    __slots__ = ("_digest", "_salt")

    def __init__(self, text: str) -> None:
        if text.startswith(_HASH_PREFIX):
            parts = _HASH.fullmatch(text)
            if not parts:
                raise ValueError("is not a valid hash; make one with `sipbridge hash-token`")
            self._salt, self._digest = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
        else:
            check_plain(text)
            self._salt = secrets.token_bytes(16)
            self._digest = _digest(self._salt, text)

    def matches(self, candidate: str) -> bool:
        """Return True for the secret. A wrong candidate takes as long as the right one."""
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
            raise ValueError("is not text; put it in quotes")  # noqa: TRY004 (pydantic reports a ValueError as an error of the field)
        return cls(value)


class AuthToken(HashedSecret):
    """The token of an INVITE to a project."""

    __slots__ = ()


class ApiKey(HashedSecret):
    """The key of an HTTP request that reads or controls the calls of a project."""

    __slots__ = ()


def matches_any(known: Iterable[HashedSecret], candidate: str) -> bool:
    """Return True for one of these. Each is compared, so that the time does not reveal which one it is."""
    return any([secret.matches(candidate) for secret in known])  # noqa: C419 (a generator would stop at the first)


def is_hash(text: str) -> bool:
    """Return True for a hash made by `hash_secret`."""
    return _HASH.fullmatch(text) is not None


def hash_secret(text: str) -> str:
    """Return the hash of a secret for the configuration file, with a new salt. Raises `ValueError` as `check_plain`."""
    check_plain(text)
    salt = secrets.token_bytes(16)
    return f"{_HASH_PREFIX}{salt.hex()}:{_digest(salt, text).hex()}"


def check_plain(text: str) -> None:
    """Raise `ValueError` unless a SIP or HTTP header carries the text unchanged."""
    if not text:
        raise ValueError("is empty; give a long random text")
    if text.startswith(_HASH_PREFIX):
        raise ValueError("is already a hash; give the secret itself")
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ValueError("cannot be sent in a header; use printable ASCII without a blank at either end")
    if len(text) > MAX_SECRET_BYTES:
        raise ValueError(f"is too long; use at most {MAX_SECRET_BYTES} characters")


def _digest(salt: bytes, text: str) -> bytes:
    # surrogatepass: bytes that are not UTF-8 arrive as lone surrogates. They are a wrong token, not an error.
    # Not hmac.digest, which releases the GIL: the SIP thread would have to wait for it again at each INVITE.
    return hmac.new(salt, text.encode("utf-8", "surrogatepass"), "sha256").digest()
