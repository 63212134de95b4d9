"""Explanations of PJSIP's errors."""

from __future__ import annotations

import os
import re

from sipbridge_pjsip import pjsua2 as pj

# PJ_ERRNO_START_SYS of pj/errno.h: from here on a status is an errno.
_SYSTEM = 120_000
_SYSTEM_END = 170_000

# The texts of PJLIB, PJSIP and OpenSSL (errno.c, sip_errno.c, ssl_sock_common.c), in lower case.
_WORDS = {
    "end of file": "the peer closed the connection",
    "unexpected eof while reading": "the peer closed the connection during the handshake",
    "operation timed out": "no connection in time",
    "wrong version number": "the peer does not speak TLS",
    "unknown protocol": "the peer does not speak TLS",
    "http request": "the peer does not speak TLS",
    "packet length too long": "the peer does not speak TLS",
    "invalid uri": "the URI is not valid",
    "invalid value or argument": "a value is not valid",
    "too many objects of the specified type": "too many at once",
    "unsupported transport": "no address of sip.listen can send to it",
    "unsuitable transport selected": "no address of sip.listen can send to it",
    "transport not available for use": "its connection is closed",
    "object no longer exists": "its connection is closed",
    "ssl certificate verification error": "its certificate is not accepted; the log line tls_failed says why",
    "the server identity does not match to any identities specified in the certificate": (
        "its certificate is for another name"
    ),
    "gethostbyname() has returned error": "its name has no address",
}


def errno_of(error: pj.Error) -> int | None:
    """Return the errno of a system error, None for one of PJSIP's own."""
    return error.status - _SYSTEM if _SYSTEM <= error.status < _SYSTEM_END else None


def explain(error: pj.Error) -> str:
    """Explain an error: in the system's words or, for one of PJSIP's own, in ours."""
    number = errno_of(error)
    return put_in_words(str(error.reason)) if number is None else os.strerror(number).lower()


def put_in_words(text: str) -> str:
    """Return an error text of PJSIP, OpenSSL or the system as clauses without symbols, in our words if we have some."""
    return "; ".join(map(_clause, text.split("; ")))


def _clause(text: str) -> str:
    clause = re.sub(r"\s*[(\[][A-Z][A-Z_0-9]+[)\]]", "", text).strip()
    ours = _WORDS.get(clause.lower())
    if ours is not None:
        return ours
    return clause if clause[:2].isupper() else clause[:1].lower() + clause[1:]
