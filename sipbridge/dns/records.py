"""DNS records of a name, and the result of a lookup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

Addresses: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """A NAPTR record (RFC 3403), as RFC 3263 uses it."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The result of a lookup, and how many seconds it is valid."""

    value: T
    ttl: float
