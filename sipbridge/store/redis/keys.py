"""The keys. Ids of clients and projects are percent-encoded in them, so that no two projects share a key."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple
from urllib.parse import quote

_PREFIX = "sipbridge"
TERMS = f"{_PREFIX}:terms"  # the last term that was given out


class CallKeys(NamedTuple):
    """The keys of the calls of a project: its index, and prefixes that a call id or a shared id completes."""

    calls: str
    call: str
    shared: str
    erased: str


@cache
def call_keys(client: str, project: str) -> CallKeys:
    """Return the keys of the calls of a project."""
    owner = f"{quote(client, safe='')}:{quote(project, safe='')}"
    return CallKeys(*(f"{_PREFIX}:{kind}:{owner}{end}" for kind, end in _CALL_KINDS))


_CALL_KINDS = (("calls", ""), ("call", ":"), ("calls-shared", ":"), ("call-erased", ":"))
