"""The secret that all nodes share, `http.pop_link_secret`: what one node says to another is signed with it."""

from __future__ import annotations

import hashlib
import hmac


class NodeSecret:
    """Signs and verifies. Each key is derived from the secret for one purpose, so a pop link signs nothing here."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.blake2b(secret.encode(), digest_size=32, person=b"node-signature").digest()
        # Differs between secrets, and none can be computed from it.
        self.mark = hashlib.blake2b(secret.encode(), digest_size=16, person=b"node-mark").hexdigest()

    def sign(self, *parts: str) -> str:
        """Return the signature of these parts, none of which has a line break."""
        return hmac.new(self._key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()

    def verifies(self, signature: str, *parts: str) -> bool:
        """True if a node with the same secret has signed these parts. Takes equally long for each wrong signature."""
        if not "".join((signature, *parts)).isascii():  # no node's; bytes that are not UTF-8 could not be encoded
            return False
        return hmac.compare_digest(self.sign(*parts).encode(), signature.encode())
