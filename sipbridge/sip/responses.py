"""Headers of our final failures."""

from __future__ import annotations

from sipbridge_pjsip import pjsua2 as pj


def add_warning(request: pj.IncomingRequest, text: str) -> None:
    """Add a Warning that says why a request was rejected. `text` is ours, and quotes nothing of the request."""
    # RFC 3261, 20.43: 399 is for a text that a person reads.
    request.addHeader("Warning", f'399 sipbridge "{text.replace(chr(34), chr(39))}"')
