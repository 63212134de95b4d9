"""A name server on loopback (RFC 1035), that can also keep silent."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address

_A = 1
_IN = 1
_ANSWER = 0x8180  # a response; recursion was desired and is available
_NO_SUCH_NAME = 3


class Nameserver:
    """It answers for the names it knows, says of others that there is none, and is silent for those in `silent`."""

    def __init__(self, known: Mapping[str, str], silent: set[str]) -> None:
        self.known = dict(known)
        self.silent = silent
        self.asked: Counter[str] = Counter()
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def serve(self) -> None:
        """Answer until an empty datagram comes."""
        while True:
            query, asker = self.socket.recvfrom(4096)
            if not query:
                return
            if answer := self._answer(query):
                self.socket.sendto(answer, asker)

    def _answer(self, query: bytes) -> bytes | None:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, question = ".".join(labels).lower(), query[12 : at + 5]
        (kind,) = struct.unpack("!H", question[-4:-2])
        self.asked[name] += 1
        if name in self.silent:
            return None
        address = self.known.get(name)
        flags = _ANSWER if address else _ANSWER | _NO_SUCH_NAME
        record = b""
        if address and kind == _A:
            # The name is a pointer to that of the question, at byte 12; good for no time, so that nobody keeps it.
            record = struct.pack("!HHHIH4s", 0xC00C, _A, _IN, 0, 4, IPv4Address(address).packed)
        return query[:2] + struct.pack("!HHHHH", flags, 1, bool(record), 0, 0) + question + record


@contextmanager
def nameserver(known: Mapping[str, str], silent: set[str] | None = None) -> Iterator[Nameserver]:
    """Run one until the end of the block."""
    server = Nameserver(known, silent or set())
    thread = threading.Thread(target=server.serve, name="nameserver", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.socket.sendto(b"", server.socket.getsockname())
        thread.join()
        server.socket.close()
