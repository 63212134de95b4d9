"""OPTIONS, which shows that a SIP server is there (RFC 3261, 11)."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

from .connection import Transport, connect
from .messages import SipMessage, format_message

_REPEAT_SECONDS = 0.5  # over UDP (RFC 3261, 17.1.2.2)


async def ask_options(
    transport: Transport, host: str, port: int, context: ssl.SSLContext | None = None, name: str | None = None
) -> SipMessage:
    """Send OPTIONS and return the final response; the requester limits the time. Raises `OSError`.

    `context` is for TLS, and `name` the name in the certificate if it is not the host.
    """
    connection = await connect(transport, host, port, context if transport == "tls" else None, name)
    try:
        local, local_port = connection.local
        headers = (
            ("Via", f"SIP/2.0/{transport.upper()} {local}:{local_port};rport;branch=z9hG4bK{secrets.token_hex(8)}"),
            ("From", f"<sip:doctor@{local}>;tag={secrets.token_hex(4)}"),
            ("To", f"<sip:{name or host}:{port}>"),
            ("Call-ID", f"{secrets.token_hex(12)}@{local}"),
            ("CSeq", "1 OPTIONS"),
            ("Contact", f"<sip:doctor@{local}:{local_port};transport={transport}>"),
            ("Max-Forwards", "70"),
            ("Accept", "application/sdp"),
        )
        request = format_message(f"OPTIONS sip:{name or host}:{port};transport={transport} SIP/2.0", headers)
        repeating = asyncio.create_task(_send(connection.send, request, repeats=transport == "udp"))
        try:
            while True:
                text = (await connection.receive()).replace("\r\n", "\n")
                message = SipMessage(datetime.now(UTC), sent=False, text=text)
                if message.status >= 200:  # noqa: PLR2004 (final)
                    return message
        finally:
            repeating.cancel()
    finally:
        connection.close()


async def _send(send: Callable[[str], None], request: str, *, repeats: bool) -> None:
    send(request)
    while repeats:
        await asyncio.sleep(_REPEAT_SECONDS)
        send(request)
