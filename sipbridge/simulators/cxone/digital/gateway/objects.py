"""Files behind a link: uploaded attachments, and frames that are too big for the socket (EventInS3)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import quote

from sipbridge.simulators.cxone.digital.messages import new_id

MAX_BYTES = 256 * 1024 * 1024  # the newest are kept


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The bytes of a file and their media type."""

    body: bytes
    media_type: str


class Objects:
    """The stored files by id."""

    def __init__(self) -> None:
        self._objects: OrderedDict[str, StoredObject] = OrderedDict()
        self._size = 0

    def put(self, body: bytes, media_type: str, name: str) -> str:
        """Store a file and return the path of its link, which needs no authorization."""
        identity = new_id()
        self._objects[identity] = StoredObject(body, media_type)
        self._size += len(body)
        while self._size > MAX_BYTES:
            _, oldest = self._objects.popitem(last=False)
            self._size -= len(oldest.body)
        return f"/simulator/objects/{identity}/{quote(name, safe='')}"

    def get(self, identity: str) -> StoredObject | None:
        """Return a file."""
        return self._objects.get(identity)
