"""The signature of a webhook's requests: how it is made, and why a received one is not valid."""

from __future__ import annotations

import hmac
import re
from datetime import datetime

MAX_AGE_SECONDS = 300  # of a timestamp that a receiver accepts

_PREFIX = "sha256="
_SIGNATURE = re.compile(rf"{_PREFIX}[0-9a-f]{{64}}")
# What tools and editors add to a body or a secret that was saved, or remove from it.
_ENDS = (b"\n", b"\r\n", b"\r")


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the value of `X-Sipbridge-Signature`: `sha256=` and the HMAC-SHA256 of `timestamp.body` in hex."""
    return _PREFIX + hmac.digest(secret, b"%b.%b" % (timestamp.encode(), body), "sha256").hex()


def find_fault(secret: bytes, timestamp: str, signature: str, body: bytes, now: datetime | None) -> str | None:
    """Return why a receiver must refuse a request, and what to do; None if it is valid.

    `timestamp` and `signature` are the values of the headers. Without `now` the age is not checked.
    """
    if not re.fullmatch(r"[0-9]{1,15}", timestamp):
        return f"the timestamp {timestamp!r} is not a number of seconds; give the value of X-Sipbridge-Timestamp"
    if not _SIGNATURE.fullmatch(signature):
        return (
            f"the signature does not have the form {_PREFIX} and 64 lower-case hex digits; "
            "give the whole value of X-Sipbridge-Signature"
        )
    if not hmac.compare_digest(signature, sign(secret, timestamp, body)):
        return _explain_mismatch(secret, timestamp, signature, body)
    age = 0.0 if now is None else now.timestamp() - int(timestamp)
    if abs(age) > MAX_AGE_SECONDS:
        place = "ago" if age > 0 else "ahead of this machine's clock"
        return (
            f"the signature matches, but the request was signed {abs(age):.0f} s {place}, over {MAX_AGE_SECONDS} s; "
            "a receiver refuses it as a repeat of a recorded one"
        )
    return None


def _explain_mismatch(secret: bytes, timestamp: str, signature: str, body: bytes) -> str:
    """Return the likely cause of a signature that does not match."""

    def matches(secret: bytes, body: bytes) -> bool:
        return hmac.compare_digest(signature, sign(secret, timestamp, body))

    if any(matches(secret, body.removesuffix(end)) or matches(secret, body + end) for end in _ENDS):
        return "the line end after the body was added or removed; verify the bytes as they were received"
    if matches(secret.strip(), body):
        return "the secret has white space around it that the configuration does not have; remove it"
    if hmac.compare_digest(signature, _PREFIX + hmac.digest(secret, body, "sha256").hex()):
        return "it is the signature of the body alone; sign the timestamp, a full stop and the body"
    return (
        "the signature does not match: the secret is another one, or the timestamp or the body was changed; "
        "compare the secret with webhook.secret, and verify the bytes before they are parsed"
    )
