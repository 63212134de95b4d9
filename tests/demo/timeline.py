"""The steps that the demos take from the log of the bridge and from the events of chats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sipbridge.trial_call.timeline import AGENT, BRIDGE, Event, Step, time_of


def of_log(log: str, call_id: str) -> Iterator[Step]:
    """Further events of the call in the bridge's log."""
    for line in log.splitlines():
        if not line.startswith("{"):
            continue
        entry: dict[str, Any] = json.loads(line)
        if entry.get("call_id") != call_id:
            continue
        if entry["event"] == "AgentConnected":
            text = f"{entry['agent_type']} agent of project {entry['project']}, client {entry['client']}, is connected"
            yield Step(time_of(entry["time"]), "agent", AGENT, text)
        elif (entry["event"], entry.get("stage")) == ("HandoffStage", "store"):
            yield Step(time_of(entry["time"]), "stored", BRIDGE, "record stored: a screen-pop finds it from now on")


def of_chat_events(events: Iterable[Event]) -> Iterator[Step]:
    """The events of a chat that say something about its state."""
    for event in events:
        payload = event.data["payload"]
        text = {
            "handoff_accepted": "queued: CXone has the contact",
            "queue_status": f"position in the queue: {payload.get('position_in_queue')}",
            "agent_joined": f"active: {payload.get('agent', {}).get('name')} has joined",
            "agent_left": "no human agent for the moment, which is no end",
            "message_delivered": "CXone has the customer's message",
            "chat_ended": f"ended by the {payload.get('by')}",
        }.get(event.name)
        if text:
            yield Step(time_of(event.data["at"]), event.name, BRIDGE, text)
