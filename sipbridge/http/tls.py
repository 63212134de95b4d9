"""The TLS context of clients."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def system_tls() -> ssl.SSLContext:
    """Return the context that trusts the authorities of the system: to read them takes tens of ms and a megabyte."""
    return ssl.create_default_context()
