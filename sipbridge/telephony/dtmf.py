"""DTMF digits (RFC 4733, 3.2)."""

from __future__ import annotations

DTMF_DIGITS = "0123456789*#ABCD"


def is_dtmf_digit(value: object) -> bool:
    """Return True for one DTMF digit."""
    return isinstance(value, str) and len(value) == 1 and value in DTMF_DIGITS


def are_dtmf_digits(text: str) -> bool:
    """Return True for a text of one or more DTMF digits."""
    return bool(text) and all(map(is_dtmf_digit, text))
