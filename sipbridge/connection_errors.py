"""Why a connection failed, in words of ours: theirs may quote what the far end sent."""

from __future__ import annotations

import os
import ssl


def explain_connection_error(error: OSError) -> str:
    """Say in a few words why TCP or TLS failed, as a clause without subject."""
    match error:
        case TimeoutError():
            return "no connection in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason}"
        case _:
            return os.strerror(error.errno).lower() if error.errno else "no address of it could be connected"
