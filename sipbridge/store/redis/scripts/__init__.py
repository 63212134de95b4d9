"""The Lua scripts: each runs as one step in Redis, so that no other command comes between its reads and its writes.

They compute keys from their arguments, which Redis Cluster would not allow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

Argument = str | int
Command = tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A script, which Redis knows by its SHA-1 once it was loaded."""

    name: str
    text: str = field(init=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        text = Path(__file__).with_name(f"{self.name}.lua").read_text()
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "sha", hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    def command(self, keys: Sequence[str], *arguments: Argument) -> Command:
        """Return the command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


PUT_CALL = Script("put_call")
ANNOUNCE_CALL = Script("announce_call")
ERASE_CALLS = Script("erase_calls")
CREATE_CHAT = Script("create_chat")
CHANGE_CHAT = Script("change_chat")
ERASE_CHATS = Script("erase_chats")
MARK_DELIVERED = Script("mark_delivered")
MARK_CALL_DELIVERED = Script("mark_call_delivered")
READ_CHAT = Script("read_chat")
RELEASE_CHATS = Script("release_chats")
TAKE_CHATS = Script("take_chats")
CLAIM_SIGNAL = Script("claim_signal")
SETTLE_CLAIM = Script("settle_claim")
RENEW_LEASE = Script("renew_lease")
TAKE_RESCUE = Script("take_rescue")
END_RESCUE = Script("end_rescue")
LEAVE = Script("leave")
WRITE_OPEN_CALLS = Script("write_open_calls")
FIND_CALL_OWNER = Script("find_call_owner")
FIND_CHAT_OWNER = Script("find_chat_owner")

_CALLS = (PUT_CALL, ANNOUNCE_CALL, ERASE_CALLS, MARK_CALL_DELIVERED)
_CHATS = (CREATE_CHAT, CHANGE_CHAT, ERASE_CHATS, MARK_DELIVERED, READ_CHAT)
_CLUSTER = (CLAIM_SIGNAL, SETTLE_CLAIM, RENEW_LEASE, TAKE_RESCUE, END_RESCUE, LEAVE, WRITE_OPEN_CALLS)
_OWNERS = (FIND_CALL_OWNER, FIND_CHAT_OWNER, RELEASE_CHATS, TAKE_CHATS)
LOAD: tuple[Command, ...] = tuple(("SCRIPT", "LOAD", script.text) for script in (*_CALLS, *_CHATS, *_CLUSTER, *_OWNERS))
