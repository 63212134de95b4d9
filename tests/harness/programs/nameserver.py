"""A name server on loopback (RFC 1035) that can also stay silent."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

_A, _AAAA, _SRV, _NAPTR = 1, 28, 33, 35
_IN = 1
_RESPONSE = 0x8180  # recursion was desired and is available
_NO_SUCH_NAME = 3


@dataclass
class Zone:
    """The zone: addresses of hosts, SRV and NAPTR records of names, and names to be silent about."""

    hosts: dict[str, str | list[str]] = field(default_factory=dict)
    services: dict[str, list[tuple[int, int, int, str]]] = field(default_factory=dict)  # priority, weight, port, host
    pointers: dict[str, list[tuple[int, int, str, str]]] = field(
        default_factory=dict
    )  # order, preference, service, name
    silent: set[str] = field(default_factory=set)
    ttl: int = 0

    def records(self, name: str, kind: int) -> list[bytes]:
        """Return the data of the records of that kind."""
        if kind in (_A, _AAAA):
            addresses = self.hosts.get(name, [])
            parsed = map(ip_address, [addresses] if isinstance(addresses, str) else addresses)
            return [address.packed for address in parsed if address.version == (4 if kind == _A else 6)]
        if kind == _SRV:
            services = self.services.get(name, [])
            return [struct.pack("!HHH", *numbers) + _written(host) for *numbers, host in services]
        if kind == _NAPTR:
            pointers = self.pointers.get(name, [])
            return [
                struct.pack("!HH", order, preference) + _strings("s", service, "") + _written(target)
                for order, preference, service, target in pointers
            ]
        return []

    def knows(self, name: str) -> bool:
        """Return True if the name exists."""
        return name in self.hosts or name in self.services or name in self.pointers


class Nameserver:
    """Responds for the names of its zone, with NXDOMAIN for others, and not at all for those in `silent`."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.known = zone.hosts
        self.silent = zone.silent
        self.lookups: Counter[str] = Counter()
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def serve(self) -> None:
        """Respond until an empty datagram arrives."""
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
        self.lookups[name] += 1
        if name in self.silent:
            return None
        # The name is a pointer to that of the question, at byte 12.
        records = [
            struct.pack("!HHHIH", 0xC00C, kind, _IN, self.zone.ttl, len(data)) + data
            for data in self.zone.records(name, kind)
        ]
        flags = _RESPONSE if self.zone.knows(name) else _RESPONSE | _NO_SUCH_NAME
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


def _written(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _strings(*texts: str) -> bytes:
    return b"".join(bytes([len(text)]) + text.encode() for text in texts)


@contextmanager
def nameserver(
    known: Mapping[str, str | list[str]], silent: set[str] | None = None, **more: object
) -> Iterator[Nameserver]:
    """Run a name server until the block ends; `more` is the rest of its zone."""
    server = Nameserver(Zone(dict(known), silent=silent or set(), **more))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve, name="nameserver", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.socket.sendto(b"", server.socket.getsockname())
        thread.join()
        server.socket.close()
