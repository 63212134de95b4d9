"""Texts for errors of listeners and connections. Those of libraries may quote what the peer sent."""

from __future__ import annotations

import errno
import os
import ssl

_LISTEN_ERRORS = {
    errno.EADDRINUSE: "the address is in use; free it, or name another",
    errno.EADDRNOTAVAIL: "the address is not one of this machine; name one of its own, or 0.0.0.0",
    errno.EACCES: "this user may not open the port; name one over 1023",
}


def explain_connection_error(error: OSError) -> str:
    """Return why TCP or TLS failed, as a short clause."""
    match error:
        case TimeoutError():
            return "no connection in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason}"
        case _:
            return os.strerror(error.errno).lower() if error.errno else "none of its addresses could be connected"


def explain_listen_error(number: int | None) -> str | None:
    """Return why an address could not be listened on, and what to do; None for an errno that is not known here."""
    return _LISTEN_ERRORS.get(number or 0)
