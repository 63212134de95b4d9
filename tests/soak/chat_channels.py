"""The channels of chats under kills and soaks: each way into CXone, and faults of it that lose no message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from tests.harness.cxone.desk import Desk
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import (
    Settings,
    byoc_channel_settings,
    chat_project_settings,
    patron_channel_settings,
)

KINDS = ("dfo", "byoc", "patron")
BYOC, PATRON = "sms", "legacy"
GATEWAY = {
    "messaging": "chat_11111111-1111-4111-8111-111111111111",
    "livechat": "chat_22222222-2222-4222-8222-222222222222",
}
_NAMES = {"dfo": tuple(GATEWAY), "byoc": (BYOC,), "patron": (PATRON,)}

# Faults by kind: where, and what. `box`: CXone does not see so many responses of the box, and repeats its calls.
Fault = tuple[str, dict[str, Any]]
OWN_FAULTS: dict[str, tuple[Fault, ...]] = {
    "byoc": (
        ("byoc_message", {"reset": "before"}),
        ("byoc_message", {"reset": "after"}),
        ("byoc_message", {"status": 503}),
        ("byoc_message", {"status": 429, "retry_after": 1}),
        ("byoc_message", {"latency_seconds": 0.5}),
        ("byoc_search", {"status": 503}),
        ("byoc_contact", {"status": 503}),
        ("byoc_contact_messages", {"status": 429, "retry_after": 1}),
        ("byoc_status", {"status": 503}),
        ("box", {"lose_responses": 2}),
    ),
    "patron": (
        ("patron_start", {"status": 503}),
        ("patron_poll", {"reset": "before"}),
        ("patron_poll", {"reset": "after"}),
        ("patron_poll", {"status": 503}),
        ("patron_text", {"status": 503}),
        ("patron_text", {"status": 429, "retry_after": 1}),
        ("patron_text", {"latency_seconds": 0.5}),
        ("patron_typing", {"status": 500}),
        ("patron_end", {"status": 503}),
    ),
}


def kind_of(channel: str) -> str:
    """Return the kind of a channel."""
    return next(kind for kind, names in _NAMES.items() if channel in names)


def mixed(kinds: Sequence[str]) -> list[str]:
    """Return channels of these kinds, in turn, each kind as often as the others."""
    rounds = max(len(_NAMES[kind]) for kind in kinds)
    return [_NAMES[kind][number % len(_NAMES[kind])] for number in range(rounds) for kind in kinds]


def all_kinds_project(name: str, cxone_url: str, **chat: Any) -> Settings:  # noqa: ANN401 (YAML)
    """Return a project that has all channels."""
    project = chat_project_settings(name, cxone_url, GATEWAY, **chat)
    own = {BYOC: byoc_channel_settings(cxone_url), PATRON: patron_channel_settings(cxone_url)}
    project["chat"]["channels"] |= own
    return project


def prepare(desk: Desk, project_url: str) -> None:
    """Enter the box of a project at CXone, which repeats its calls, and keeps what it sent to patron chats until read.

    Otherwise a response that is lost with the bridge would be lost for good, and no bridge could do better. A bridge
    that is killed every few seconds reads all messages each time, beyond the limit of CXone for one contact.
    """
    desk.change_byoc_settings(contact_burst=10_000)
    box_url = f"{project_url.replace('/v1/', '/byoc/', 1)}/{BYOC}"
    desk.change_byoc(DEMO_CHANNEL.id, box_url=box_url, repeats=3, repeat_seconds=0.2)
    desk.change_patron(keeps_unread=True)


def disturb(cxone: Simulator, kind: str, fault: Fault) -> None:
    """Cause a fault of a kind of channel."""
    where, how = fault
    if where == "drop":
        cxone.desk.drop()
    elif where == "box":
        cxone.desk.change_byoc(DEMO_CHANNEL.id, **how)
    elif kind == "dfo":
        cxone.desk.fail(where, **how)
    else:
        cxone.fail(where, **how)
