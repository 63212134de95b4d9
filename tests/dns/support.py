"""The names that the name server of these tests knows, and a fake of the system's resolver."""

from __future__ import annotations

import threading
from collections import Counter

KNOWN: dict[str, str | list[str]] = {
    "cxone.test": "127.0.0.7",
    "other.test": "127.0.0.8",
    "several.test": ["127.0.0.2", "127.0.0.3"],
}


SERVICES = {"_sip._udp.example.test": [(10, 1, 5070, "a.test"), (20, 2, 5080, "b.test")]}
POINTERS = {"example.test": [(50, 10, "SIP+D2U", "_sip._udp.example.test")]}


class System:
    """The system's resolver. Lookups of names in `hanging` wait until `go`."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, ...]] = {}
        self.hanging: set[str] = set()
        self.lookups: Counter[str] = Counter()
        self.go = threading.Event()

    def __call__(self, name: str) -> tuple[str, ...]:
        self.lookups[name] += 1
        if name in self.hanging:
            self.go.wait(10)
        if name not in self.known:
            raise OSError
        return self.known[name]
