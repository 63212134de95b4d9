"""The headers that describe the call in the INVITE to a SIP agent."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sipbridge.calls.model import Identity
from sipbridge.config import is_passable_header
from sipbridge.telephony.header_size import MAX_HEADER_BYTES, header_bytes
from sipbridge.trace_context import X_TRACEPARENT, TraceContext

# JSON in an X- header is common. Peers truncate or reject longer lines.
MAX_LINE_BYTES = 8192

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def invite_headers(identity: Identity, configured: Mapping[str, str], *, traced: bool = False) -> dict[str, str]:
    """Merge the caller's passed headers, the project's and our own. Later ones override earlier ones in any case.

    A header that contains a line break or exceeds a line is dropped; so are passed headers past `MAX_HEADER_BYTES`.
    `traced` adds the id of the call's trace.
    """
    ours = {
        "X-Sipbridge-Call-Id": identity.call_id,
        "X-Sipbridge-Client": identity.client,
        "X-Sipbridge-Project": identity.project,
        "X-Sipbridge-Contact-Id": identity.contact_id,
        "X-Sipbridge-Main-Contact-Id": identity.main_contact_id,
        "X-Sipbridge-Caller": identity.caller,
        "X-Sipbridge-Dialled": identity.dialled,
    }
    if traced:
        ours[X_TRACEPARENT] = TraceContext.of(identity.call_id).traceparent
    merged: dict[str, tuple[str, str]] = {}
    for headers in (_passable(identity.headers), configured, ours):
        merged.update((name.lower(), (name, value)) for name, value in headers.items() if _fits(name, value))
    return dict(merged.values())


def _passable(headers: Mapping[str, str]) -> dict[str, str]:
    passed: dict[str, str] = {}
    free_bytes = MAX_HEADER_BYTES
    for name, value in headers.items():
        length = header_bytes(name, value)
        if is_passable_header(name) and _fits(name, value) and length <= free_bytes:
            passed[name] = value
            free_bytes -= length
    return passed


def _fits(name: str, value: str) -> bool:
    try:
        line = f"{name}: {value}".encode()
    except UnicodeEncodeError:
        return False
    return len(line) <= MAX_LINE_BYTES and not _CONTROL.search(value)
