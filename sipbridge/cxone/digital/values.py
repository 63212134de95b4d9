"""JSON of CXone's digital channels, read leniently: any field may be missing or of another type."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_YEAR_SECONDS = 366 * 86_400


def object_of(value: object) -> Json:
    """Return an object as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Json]:
    """Return the objects of a list; anything else has none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Return a text or a whole number as text, and anything else as an empty one."""
    if isinstance(value, str):
        # A lone surrogate (half a character) could be neither stored nor sent.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def is_true(value: object) -> bool:
    """True for the truth value, and for its text as `True`, which some APIs of CXone use."""
    return value is True or text_of(value).lower() == "true"


def seconds_of(value: object) -> float | None:
    """Return a number of seconds of at most a year; None for anything else, infinity and NaN among it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= _YEAR_SECONDS else None  # type: ignore[operator, arg-type]
