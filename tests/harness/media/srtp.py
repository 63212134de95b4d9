"""SRTP (RFC 3711) with keys from SDP (RFC 4568), for the far ends of a call whose SDP a test writes itself."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field

from pylibsrtp import Error, Policy, Session

SUITE = "AES_CM_128_HMAC_SHA1_80"
_KEY_BYTES = 30  # key and salt


@dataclass(frozen=True)
class Key:
    """The key with which one end encrypts."""

    secret: bytes = field(default_factory=lambda: os.urandom(_KEY_BYTES))

    def attribute(self, tag: int = 1, suite: str = SUITE) -> str:
        """Return the value of `a=crypto`."""
        return f"{tag} {suite} inline:{base64.b64encode(self.secret).decode()}"

    @classmethod
    def of(cls, sdp: str) -> Key:
        """Read the key in an answer."""
        found = re.search(rf"^a=crypto:\d+ {SUITE} inline:([A-Za-z0-9+/=]+)", sdp, re.MULTILINE)
        assert found, sdp
        return cls(base64.b64decode(found[1]))

    def session(self, kind: int) -> Session:
        """Create a session that encrypts (`Policy.SSRC_ANY_OUTBOUND`) or decrypts (`SSRC_ANY_INBOUND`)."""
        policy = Policy(key=self.secret, ssrc_type=kind, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80)
        policy.allow_repeat_tx = True  # a test may repeat a packet
        return Session(policy)


class Srtp:
    """Encryption and decryption of a port. Without keys no packet passes."""

    def __init__(self) -> None:
        self.refused = 0  # packets that were not encrypted with the far end's key
        self._sending: Session | None = None
        self._receiving: Session | None = None

    def use(self, own: Key, theirs: Key) -> None:
        """Use these keys from now on."""
        self._sending = own.session(Policy.SSRC_ANY_OUTBOUND)
        self._receiving = theirs.session(Policy.SSRC_ANY_INBOUND)

    def protect(self, packet: bytes) -> bytes | None:
        """Encrypt."""
        return self._sending.protect(packet) if self._sending else None

    def unprotect(self, packet: bytes) -> bytes | None:
        """Decrypt; return None if the packet is not the far end's."""
        if self._receiving is None:
            return None
        try:
            return self._receiving.unprotect(packet)
        except Error:
            self.refused += 1
            return None
