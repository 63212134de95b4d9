"""The credentials of those that the bridge calls."""

from __future__ import annotations

from sipbridge.config.fields import DigestUser, Network, Secret, Section
from sipbridge.telephony.credentials import Credentials


class CalleeConfig(Section):
    """Whom the bridge calls by SIP: the answer to its challenges (RFC 3261, 22), and who may speak for it.

    `load_config` ensures that there are both `username` and `password` or neither. Besides the addresses of the
    callee, `trusted_sources` may send requests within its calls.
    """

    username: DigestUser | None = None
    password: Secret | None = None
    trusted_sources: tuple[Network, ...] = ()

    @property
    def credentials(self) -> Credentials | None:
        """The credentials; None if the callee needs none."""
        if self.username is None or self.password is None:
            return None
        return Credentials(self.username, self.password.get_secret_value())
