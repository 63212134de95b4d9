"""The size of the headers that others put into our SIP messages."""

from __future__ import annotations

# Of all of them in one message. One over 65,507 bytes does not fit into a datagram, and PJSIP sends none over 65,535
# (`PJSIP_MAX_PKT_LEN`); the rest of the message needs space, too.
MAX_HEADER_BYTES = 48 * 1024


def header_bytes(name: str, value: str) -> int:
    """Return the number of bytes of a header with the end of its line. Half a character counts as one."""
    return len(f"{name}: {value}\r\n".encode(errors="replace"))
