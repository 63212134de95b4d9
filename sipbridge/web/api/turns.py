"""The conversation of a call or chat, as the screen-pop shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from sipbridge.calls.model import CallRecord
from sipbridge.chats.model import ChatRecord, ChatTurn
from sipbridge.handoffs.record import Turn
from sipbridge.web.deps import WebDeps
from sipbridge.web.screen_pop.conversation import turns_of_chat


@overload
async def read_turns(deps: WebDeps, record: ChatRecord) -> Sequence[ChatTurn]: ...
@overload
async def read_turns(deps: WebDeps, record: CallRecord | ChatRecord) -> Sequence[Turn | ChatTurn]: ...


async def read_turns(deps: WebDeps, record: CallRecord | ChatRecord) -> Sequence[Turn | ChatTurn]:
    """Return the turns of a call, or of a chat with the messages since the handoff, which only the store has."""
    if isinstance(record, CallRecord):
        return record.transcript
    stored = await deps.chats.store.read(record.uid)
    return turns_of_chat(stored) if stored else record.transcript
