"""The pauses between the attempts to deliver an event."""

from __future__ import annotations

import random
from dataclasses import dataclass

GIVE_UP_SECONDS = 24 * 3600.0  # after the event


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from `first_seconds` to `most_seconds`, each up to a quarter shorter or longer.

    The jitter spreads the chats of a platform that was down, so that it does not get all of them at once.
    """

    first_seconds: float = 1.0
    most_seconds: float = 300.0

    def pause(self, failures: int, retry_after: float) -> float:
        """Return the pause after so many failures in a row; at least what the response asked for."""
        doubled = min(self.first_seconds * 2.0 ** min(failures - 1, 30), self.most_seconds)
        return max(doubled * random.uniform(0.75, 1.25), retry_after * random.uniform(1.0, 1.1))  # noqa: S311 (no secret)
