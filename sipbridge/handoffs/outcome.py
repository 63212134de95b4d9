"""The outcome of a call, a chat or a part of one: a result and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """The result of an operation, from the bridge's point of view. The `result` label of every metric."""

    SUCCESS = "success"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    UPSTREAM_ERROR = "upstream_error"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result, and a short lower-case reason from a small fixed set."""

    result: Result
    reason: str
