"""The one rule for comparing telephone numbers."""

from __future__ import annotations

_NOT_COUNTED = str.maketrans("", "", "+ .-()[]")


def number_key(text: str) -> str:
    """Reduce a number, or the user part of a SIP URI, to what is compared.

    `+`, spaces, dots, hyphens and brackets don't count, nor do the parameters of a telephone-subscriber
    (`+19995550001;npdi`, RFC 3261, 19.1.6).
    """
    return text.partition(";")[0].translate(_NOT_COUNTED)
