"""The reason for which PJSIP rejected an offer with 488: its audio lines, or their SRTP."""

from __future__ import annotations

import re
from collections.abc import Collection

# A line with a port, over RTP, also of a profile with SRTP (RFC 4566, 5.14). Port 0 offers no audio (RFC 3264, 5.1).
_AUDIO = re.compile(
    rb"^m=audio 0*[1-9][0-9]*(?:/[0-9]+)? (?:UDP/TLS/)?RTP/S?AVPF?((?: [0-9]+)+)", re.MULTILINE | re.IGNORECASE
)
_RTPMAP = re.compile(rb"^a=rtpmap:([0-9]+) +([A-Za-z0-9-]+)/8000", re.MULTILINE)
# RFC 3551, 6: what these numbers mean without a=rtpmap.
_STATIC = {b"0": "PCMU", b"8": "PCMA", b"9": "G722"}


def offers_audio(message: bytes, codecs: Collection[str]) -> bool:
    """True if the message's SDP has audio over RTP with one of these codecs, SRTP aside. Never raises."""
    named = {number: name.decode().upper() for number, name in _RTPMAP.findall(message)}
    formats = {number for line in _AUDIO.findall(message) for number in line.split()}
    return any({**_STATIC, **named}.get(number) in codecs for number in formats)
