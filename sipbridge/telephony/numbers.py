"""The one rule for comparing telephone numbers."""

from __future__ import annotations

_IGNORED = str.maketrans("", "", "+ .-()[]")


def number_key(text: str) -> str:
    """Reduce a number, or the user part of a SIP URI, to the part that is compared.

    `+`, spaces, dots, hyphens and brackets are ignored, and so are the parameters of a telephone-subscriber
    (`+19995550001;npdi`, RFC 3261, 19.1.6).
    """
    return text.partition(";")[0].translate(_IGNORED)
