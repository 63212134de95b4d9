"""The recovery of a thread: its state, and the messages that the bot may not have yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sipbridge.cxone.digital.dfo.authorization import REPLY_SECONDS
from sipbridge.cxone.digital.dfo.connection import Connection
from sipbridge.cxone.digital.dfo.frames import FrameMaker
from sipbridge.cxone.digital.values import Json, list_of, text_of

MAX_PAGES = 200  # of older messages that one recovery reads


@dataclass(frozen=True, slots=True)
class RecoveredThread:
    """The state of a thread, and its messages, oldest first. `is_whole` is false if older ones were not read."""

    state: Json
    messages: Sequence[Json]
    is_whole: bool


async def recover_thread(
    connection: Connection, maker: FrameMaker, *, livechat: bool, reaches_known: Callable[[Sequence[Json]], bool]
) -> RecoveredThread:
    """Read a thread page by page, newest first, down to a page for which `reaches_known` is true.

    Raises `GatewayLost` or `GatewayError`.
    """
    reply = await connection.request(maker.recover(livechat=livechat), REPLY_SECONDS)
    state = reply.data
    page, scroll_token = list_of(state.get("messages")), text_of(state.get("messagesScrollToken"))
    newest_first = list(page)
    for _ in range(MAX_PAGES):
        if not page or not scroll_token or reaches_known(page):
            break
        made = maker.load_more(scroll_token, text_of(page[-1].get("createdAt")))
        reply = await connection.request(made, REPLY_SECONDS)
        page, scroll_token = list_of(reply.data.get("messages")), text_of(reply.data.get("scrollToken"))
        newest_first += page
    return RecoveredThread(state, newest_first[::-1], is_whole=not page or not scroll_token)
