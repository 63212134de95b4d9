"""The ids of a trace. They follow from the id of the call or chat, so every node has the same ones without a lookup."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

# Of HTTP (W3C Trace Context). A SIP header needs the X-, because agents' platforms pass no others to their programs.
TRACEPARENT = "traceparent"
X_TRACEPARENT = "X-Traceparent"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace of one call or chat: `trace_id` has 128 bits, `span_id` is that of its root span and has 64."""

    trace_id: int
    span_id: int

    @classmethod
    def of(cls, uid: str) -> Self:
        """Return the trace of a call or chat, by the id that is unique among all of them."""
        made = blake2b(uid.encode(), digest_size=24, person=b"sipbridge-trace").digest()
        return cls(int.from_bytes(made[:16], "big"), int.from_bytes(made[16:], "big"))

    @property
    def traceparent(self) -> str:
        """The header's value, which names the root span as the parent (W3C Trace Context, 3.2). It is sampled."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01"

    def derived_id(self, name: str) -> int:
        """Return the id of a span that has children, which are sent before it."""
        made = blake2b(name.encode(), digest_size=8, key=self.span_id.to_bytes(8, "big"), person=b"sipbridge-span")
        return int.from_bytes(made.digest(), "big")
