"""How a call, a chat or a part of one ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How something ended, seen from the bridge. The `result` label of every metric."""

    SUCCESS = "success"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    UPSTREAM_ERROR = "upstream_error"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call or a part of one ended: a result, and a short lower-case reason from a small fixed set."""

    result: Result
    reason: str
