"""The files of human agents in bring-your-own channels, behind links that expire."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from sipbridge.simulators.cxone.digital.messages import new_id

FILES_PATH = "/simulator/byoc/files"


@dataclass(frozen=True, slots=True)
class File:
    """A file and its media type."""

    content: bytes
    media_type: str


class Files:
    """The files by id."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def put(self, content: bytes, media_type: str, name: str) -> str:
        """Store a file and return the path of it; the link in a call to the box has the time of its end too."""
        identity = new_id()
        self._files[identity] = File(content, media_type)
        return f"{FILES_PATH}/{identity}/{quote(name, safe='')}"

    def get(self, identity: str) -> File | None:
        """Return a file."""
        return self._files.get(identity)

    def clear(self) -> None:
        """Delete all files."""
        self._files.clear()


def expiring(url: str, seconds: float) -> str:
    """Return the link of a file that works for so long. A link to anything else stays as it is."""
    return f"{url}?expires={time.time() + seconds:.3f}" if FILES_PATH in url else url


def has_expired(url: str) -> bool:
    """True if a link works no more. One without an end never worked."""
    try:
        return float(dict(parse_qsl(urlsplit(url).query))["expires"]) <= time.time()
    except (KeyError, ValueError):
        return True
