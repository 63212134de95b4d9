"""Session descriptions: functions that write those of the tests, and that read received ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

VIDEO = "m=video 5002 RTP/AVP 96", "a=rtpmap:96 H264/90000"


def audio(port: int, profile: str = "RTP/AVP") -> tuple[str, ...]:
    """The lines of a supported audio stream: G.711 mu-law, DTMF digits."""
    return f"m=audio {port} {profile} 0 101", "a=rtpmap:101 telephone-event/8000"


def description(
    lines: Iterable[str], *, version: int = 1, connection: str = "c=IN IP4 127.0.0.1", session: Iterable[str] = ()
) -> str:
    """A description with these m= lines and attributes, and these lines at session level."""
    head = ("v=0", f"o=peer 1 {version} IN IP4 127.0.0.1", "s=-", *([connection] if connection else []), "t=0 0")
    return "".join(f"{line}\r\n" for line in (*head, *session, *lines))


def media_lines(sdp: str) -> list[str]:
    """The m= lines, without their formats."""
    return [" ".join(line.split()[:2]) for line in re.findall(r"^m=(.*)$", sdp, re.MULTILINE)]


def kinds(sdp: str) -> list[str]:
    """The media types of the m= lines; rejected ones with a minus."""
    return [("-" if line.split()[1] == "0" else "") + line.split()[0] for line in media_lines(sdp)]


def directions(sdp: str) -> list[str]:
    """The direction attributes, at session and media level."""
    return re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", sdp, re.MULTILINE)


def version(sdp: str) -> int:
    """The version in the o= line."""
    found = re.search(r"^o=\S+ \S+ (\d+)", sdp, re.MULTILINE)
    assert found, sdp
    return int(found[1])
