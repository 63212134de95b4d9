"""Session descriptions: writers of those that tests send, readers of those that come."""

from __future__ import annotations

import re
from collections.abc import Iterable

VIDEO = "m=video 5002 RTP/AVP 96", "a=rtpmap:96 H264/90000"


def audio(port: int, profile: str = "RTP/AVP") -> tuple[str, ...]:
    """The lines of an audio stream that is served: G.711 mu-law, DTMF digits."""
    return f"m=audio {port} {profile} 0 101", "a=rtpmap:101 telephone-event/8000"


def description(
    lines: Iterable[str], *, version: int = 1, connection: str = "c=IN IP4 127.0.0.1", session: Iterable[str] = ()
) -> str:
    """A description of these m= lines and attributes, with these at session level."""
    head = ("v=0", f"o=peer 1 {version} IN IP4 127.0.0.1", "s=-", *([connection] if connection else []), "t=0 0")
    return "".join(f"{line}\r\n" for line in (*head, *session, *lines))


def media_lines(sdp: str) -> list[str]:
    """Its m= lines, without what they say of formats."""
    return [" ".join(line.split()[:2]) for line in re.findall(r"^m=(.*)$", sdp, re.MULTILINE)]


def kinds(sdp: str) -> list[str]:
    """What its m= lines are of; those that are rejected with a minus."""
    return [("-" if line.split()[1] == "0" else "") + line.split()[0] for line in media_lines(sdp)]


def directions(sdp: str) -> list[str]:
    """Its directions, wherever they stand."""
    return re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", sdp, re.MULTILINE)


def version(sdp: str) -> int:
    """The version in its o= line."""
    found = re.search(r"^o=\S+ \S+ (\d+)", sdp, re.MULTILINE)
    assert found, sdp
    return int(found[1])
