"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding. With a fault, the bridge or a part of it does not work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the subject of a check, and what was found; of a warning or fault also what to do."""

    level: Level
    subject: str
    text: str


def ok(subject: str, text: str) -> Finding:
    """Return a finding without a fault."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str) -> Finding:
    """Return a finding that should be looked at."""
    return Finding(Level.WARNING, subject, text)


def fault(subject: str, text: str) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(Level.FAULT, subject, text)
