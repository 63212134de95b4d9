"""CXone's contact ids."""

from __future__ import annotations

import re

# CXone writes it while a call has no contact yet. A Signal to it reaches the script of another call, or none.
NO_CONTACT = "100000000000"

_FORM = re.compile(r"[A-Za-z0-9-]{1,32}")


def is_contact_id(text: str) -> bool:
    """Return True for the id of a contact: 1 to 32 letters, digits or hyphens, and not CXone's placeholder."""
    return text != NO_CONTACT and _FORM.fullmatch(text) is not None
