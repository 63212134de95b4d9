"""The keys. Ids of clients and projects have no colon, so no two projects share a key (`config.fields.Identifier`)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

_PREFIX = "sipbridge"
TERMS = f"{_PREFIX}:terms"  # the last term that was given out


def project_part(client: str, project: str) -> str:
    """Return the part of a key that names a project."""
    return f"{client}:{project}"


class CallKeys(NamedTuple):
    """The keys of the calls of a project: index, events, and prefixes that a call id or a shared id completes."""

    calls: str
    events: str
    call: str
    begun: str
    shared: str
    erased: str


@cache
def call_keys(client: str, project: str) -> CallKeys:
    """Return the keys of the calls of a project."""
    part = project_part(client, project)
    return CallKeys(
        f"{_PREFIX}:calls:{part}",
        f"{_PREFIX}:call-events:{part}",
        f"{_PREFIX}:call:{part}:",
        f"{_PREFIX}:call-begun:{part}:",
        f"{_PREFIX}:calls-shared:{part}:",
        f"{_PREFIX}:call-erased:{part}:",
    )


def begun(client: str, project: str, call_id: str) -> str:
    """Return the key of what was announced of a call that has no record yet."""
    return call_keys(client, project).begun + call_id


# Prefixes that the uid of a chat completes.
CHAT = f"{_PREFIX}:chat:"
CHAT_ENTRIES = f"{_PREFIX}:chat-entries:"
CHAT_EVENTS = f"{_PREFIX}:chat-events:"
CHAT_FILES = f"{_PREFIX}:chat-files:"
# Prefixes that the part of a project completes, and then a colon with the bot's id of the chat or a shared id.
CHATS = f"{_PREFIX}:chats:"
CHAT_IDS = f"{_PREFIX}:chat-id:"
CHATS_SHARED = f"{_PREFIX}:chats-shared:"
CHATS_WAITING = f"{_PREFIX}:chats-waiting"  # those that no node carries
# Prefixes that the epoch of a node completes.
CHATS_OPEN = f"{_PREFIX}:chats-open:"
CHATS_UNDELIVERED = f"{_PREFIX}:chats-undelivered:"
CALLS_UNDELIVERED = f"{_PREFIX}:calls-undelivered:"  # that the id of a node completes

# The nodes: a hash of those that must be taken over if they die, by epoch; and prefixes for each.
NODES = f"{_PREFIX}:nodes"
NODES_CHANGE = f"{_PREFIX}:nodes-change"  # the last one of that hash: another text after each
LEASE = f"{_PREFIX}:node:"  # of an id
OPEN_CALLS = f"{_PREFIX}:open:"  # of an epoch: a hash by call id
OPEN_CALLS_WRITE = f"{_PREFIX}:open-write:"  # of an epoch: the number of the last write of them
UNCLAIMED = f"{_PREFIX}:unclaimed:"  # of an epoch: the calls that it has signalled without a claim
RESCUE = f"{_PREFIX}:rescue:"  # of an epoch: the mark of its takeover
RESCUER = f"{_PREFIX}:rescuer:"  # of an epoch: who takes it over just now


def claim(client: str, call_id: str) -> str:
    """Return the key of the claim of a call's Signal."""
    return f"{_PREFIX}:signal:{client}:{call_id}"
