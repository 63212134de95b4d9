"""JSON of CXone's digital channels, read leniently: any field may be missing or of another type."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


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
