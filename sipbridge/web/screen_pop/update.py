"""The change of a page when its call or chat changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from sipbridge.calls.model import CallRecord
from sipbridge.chats.model import ChatRecord, ChatTurn
from sipbridge.handoffs.record import Turn
from sipbridge.web.screen_pop.status import Status, status_of
from sipbridge.web.screen_pop.texts import Texts
from sipbridge.web.screen_pop.view import Message, messages_of


@dataclass(frozen=True, slots=True)
class Update:
    """The state, and the messages that the page does not have. `count` is the number of all messages."""

    status: Status
    seconds: int
    messages: list[Message]
    count: int

    @property
    def final(self) -> bool:
        """True if nothing follows."""
        return self.status.final

    def to_json(self) -> str:
        """Return the update as JSON."""
        status = self.status
        return orjson.dumps(
            {
                "tone": status.tone,
                "state": status.text,
                "clock": status.clock,
                "seconds": self.seconds,
                "runs": status.until is None,
                "final": status.final,
                "messages": self.messages,
                "count": self.count,
            },
            option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS,
        ).decode()


def update_of(
    record: CallRecord | ChatRecord, turns: Sequence[Turn | ChatTurn], texts: Texts, shown: int, now: datetime
) -> Update:
    """Return the update of a page that shows the first `shown` turns."""
    status = status_of(record, texts)
    return Update(status, status.seconds(now), messages_of(turns[shown:], texts), len(turns))
