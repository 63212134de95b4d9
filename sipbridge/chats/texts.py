"""The texts that the human agent gets: the first message of a chat, and long messages in parts."""

from __future__ import annotations

from collections.abc import Sequence

from sipbridge.chats.model import ChatRecord, ChatTurn

_NAMES = {"customer": "Customer", "bot": "Bot", "agent": "Agent"}


def opening_text(record: ChatRecord, *, last: int | None, otherwise: str) -> str:
    """Return the first message: the last turns of the conversation, else the utterance or reason, else a fixed text.

    `last` limits the number of turns; None gives all, 0 none.
    """
    turns = record.transcript if last is None else record.transcript[len(record.transcript) - last :] if last else ()
    if turns:
        return "\n".join(_line(turn) for turn in turns)
    reason = record.handoff.reason
    return record.handoff.utterance or (reason if reason != record.channel else "") or otherwise


def split_text(text: str, max_characters: int) -> list[str]:
    """Split a text into parts of at most that many characters, at line breaks or blanks if there are any.

    No character is lost: joined, the parts are the text. A text that fits, the empty one too, is one part.
    """
    parts = []
    while len(text) > max_characters:
        window = text[:max_characters]
        cut = max(window.rfind("\n"), window.rfind(" ")) + 1
        if cut < max_characters // 2:
            cut = max_characters
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]


def add_links(parts: Sequence[str], links: Sequence[str], max_characters: int) -> list[str]:
    """Return the parts of a text with links below it, each on a line of its own.

    A link that does not fit into the last part begins the next one. None is broken, even if it is too long itself.
    """
    made = list(parts)
    for link in links:
        longer = f"{made[-1]}\n{link}" if made[-1] else link
        if len(longer) <= max_characters or not made[-1]:
            made[-1] = longer
        else:
            made.append(link)
    return made


def _line(turn: ChatTurn) -> str:
    return f"{_NAMES[turn.role]}: {turn.text}"
