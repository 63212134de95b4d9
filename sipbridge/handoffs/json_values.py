"""JSON values in a request: their text form, and their limits."""

from __future__ import annotations

import json
from typing import Any

MAX_DATA_CHARACTERS = 65_536
# The same limit as for a body of the HTTP API; pydantic serializes at most 255 levels.
MAX_DATA_LEVELS = 200


def to_text(value: object) -> str:
    """Return a string as it is, and any other value as its JSON text: CXone takes strings only."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def to_utf8_text(value: object) -> str:
    """Return the same text as `to_text`. Raises `ValueError` if UTF-8 cannot encode it."""
    text = to_text(value)
    _check_utf8(text)
    return text


def without_nulls(value: object) -> object:
    """Leave out the null fields of an object: client libraries write null for each field that was not set."""
    return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


def check_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a request. Raises `ValueError` if it is too large or cannot be written as JSON."""
    if _is_nested_over(data, MAX_DATA_LEVELS):
        raise ValueError(f"must not be nested over {MAX_DATA_LEVELS} levels")
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ValueError("must not hold NaN, an infinity or a number of over 4,300 digits") from None
    _check_utf8(text)
    if len(text) > MAX_DATA_CHARACTERS:
        raise ValueError(f"must not be over {MAX_DATA_CHARACTERS} characters as JSON")
    return data


def _check_utf8(text: str) -> None:
    """Raise `ValueError` for a lone surrogate. pydantic checks this only in fields of type text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold a lone surrogate (half a character)") from None


def _is_nested_over(value: object, levels: int) -> bool:
    """True if objects and lists are nested over that many levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_nested_over(each, levels - 1) for each in inner)
