"""A mutator that makes hostile messages from good ones: the same seed and the same messages give the same bytes.

Most mutants keep the parts that the bridge checks first (the number, the token, the contact id, the dialog's tags),
since a message that is rejected early tests nothing behind the first check.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from .body_mutations import BODY_KINDS
from .header_mutations import HEADER_KINDS
from .raw_mutations import RAW_KINDS, START_KINDS

T = TypeVar("T")

_MAX_BYTES = 60_000


class Mutator:
    """A source of mutants. `counts` has the number of mutations by kind."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 (no secret, and the same each time)
        self.counts: dict[str, int] = {}

    def mutant(self, message: bytes) -> bytes:
        """Return the message with one to three mutations."""
        for _ in range(self._chance.choice((1, 1, 1, 2, 2, 3))):
            kinds = self._chance.choices((HEADER_KINDS, BODY_KINDS, RAW_KINDS, START_KINDS), (48, 32, 12, 8))[0]
            if kinds is BODY_KINDS and message.endswith(b"\r\n\r\n"):
                kinds = HEADER_KINDS
            mutate = self._chance.choice(kinds)
            self.counts[mutate.__name__] = self.counts.get(mutate.__name__, 0) + 1
            message = mutate(self._chance, message)
        return message[:_MAX_BYTES]

    def pieces(self, messages: Sequence[bytes]) -> list[bytes]:
        """Return the bytes of some messages as a stream may deliver them: cut in odd places, or all at once."""
        text = b"".join(messages)
        if self._chance.random() < 0.3:
            return [text]
        cuts = sorted(self._chance.randrange(len(text) + 1) for _ in range(self._chance.randrange(1, 12)))
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if end > start]

    def happens(self, share: float) -> bool:
        """Return True with this probability."""
        return self._chance.random() < share

    def pick(self, among: Sequence[T]) -> T:
        """Choose one."""
        return self._chance.choice(among)
