"""The state of a patron chat that a later run needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from sipbridge.cxone.digital.values import Json, list_of, text_of


@dataclass(slots=True)
class PatronState:
    """Stored as `channel_state`.

    `starting` is true once the start of the chat was requested, unless CXone has surely done nothing. `session` is the
    newest session id, and `batch` has the messages that came with it, since CXone sends them only once; `batch_from` is
    the number of the first of them among all that came with this id. `letter` and `part` are those of the text that was
    sent last, and `closing` is true once the closing text was.
    """

    starting: bool = False
    session: str = ""
    contact_id: str = ""
    batch: list[Json] = field(default_factory=list)
    batch_from: int = 0
    letter: str = ""
    part: int = 0
    closing: bool = False

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the stored state; that of a new chat if nothing is stored."""
        return cls(
            starting=stored.get("starting") is True,
            session=text_of(stored.get("session")),
            contact_id=text_of(stored.get("contact_id")),
            batch=list_of(stored.get("batch")),
            batch_from=_count(stored.get("batch_from")),
            letter=text_of(stored.get("letter")),
            part=_count(stored.get("part")),
            closing=stored.get("closing") is True,
        )

    def take(self, session: str, messages: Sequence[Json]) -> bool:
        """Note what a poll brought, once the batch before is reported; return False if that was nothing."""
        if session and session != self.session:
            self.session, self.batch, self.batch_from = session, list(messages), 0
            return True
        self.batch = list(messages)
        return bool(messages)

    def clear_batch(self) -> None:
        """Note that the batch is reported. CXone may send another one with the same session id."""
        self.batch_from += len(self.batch)
        self.batch = []

    def as_json(self) -> dict[str, Any]:
        """Return what is stored. Later changes do not reach it."""
        return asdict(self)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
