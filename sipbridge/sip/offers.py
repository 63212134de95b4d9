"""Why PJSIP rejected an offer with 488: by its codecs, or by its SRTP."""

from __future__ import annotations

import re
from collections.abc import Collection

_AUDIO = re.compile(rb"^m=audio [0-9]+ \S+((?: [0-9]+)+)", re.MULTILINE)
_RTPMAP = re.compile(rb"^a=rtpmap:([0-9]+) +([A-Za-z0-9-]+)/8000", re.MULTILINE)
# RFC 3551, 6: what these numbers mean without a=rtpmap.
_STATIC = {b"0": "PCMU", b"8": "PCMA", b"9": "G722"}


def offers_codec(message: bytes, codecs: Collection[str]) -> bool:
    """True if an audio line of the message's SDP has one of these codecs. Never raises."""
    named = {number: name.decode().upper() for number, name in _RTPMAP.findall(message)}
    formats = {number for line in _AUDIO.findall(message) for number in line.split()}
    return any({**_STATIC, **named}.get(number) in codecs for number in formats)
