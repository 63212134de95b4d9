"""The timeline of a call, merged from the logs of all programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.harness.sip.sip_messages import Message
from tests.harness.web.event_stream import Event

TRUNK, CALLER, BRIDGE, AGENT, CXONE = "trunk", "caller", "bridge", "agent", "CXone"


@dataclass(frozen=True, slots=True)
class Step:
    """One event. `name` is what the demo expects to observe, once or more."""

    at: datetime
    name: str
    who: str
    text: str
    details: tuple[tuple[str, str], ...] = ()


def of_sip(messages: Iterable[Message]) -> Iterator[Step]:
    """The SIP messages on the trunk; only those responses that say something new."""
    for message in messages:
        described = _describe(message)
        if described:
            way = "→" if message.sent else "←"
            yield Step(message.at.astimezone(), described[0], TRUNK, f"{way} {described[1]}")


def _describe(message: Message) -> tuple[str, str] | None:
    if message.status:
        answer = message.start_line.removeprefix("SIP/2.0 ")
        if (message.method, message.status) == ("INVITE", 200):
            answer += f", call {message.header('X-Sipbridge-Call-Id')}"
        return (str(message.status), answer) if message.method in ("INVITE", "REFER") else None
    described = {
        "INVITE": f"INVITE {_user(message.start_line.split()[1])}, from {_user(message.header('From'))}",
        "ACK": "ACK: audio flows in both directions",
        "REFER": f"REFER to {message.header('Refer-To').strip('<>')}, X-Queue {message.header('X-Queue')}",
        "NOTIFY": f"NOTIFY {message.body.strip().removeprefix('SIP/2.0 ')}",
        "BYE": "BYE",
    }.get(message.method)
    return (message.method, described) if described else None


def _user(uri: str) -> str:
    return uri.partition("sip:")[2].partition("@")[0]


def of_events(events: Iterable[Event]) -> Iterator[Step]:
    """The events of the API's event stream."""
    for event in events:
        call = event.data
        handoff = call["handoff"] or {}
        if event.name == "call.started":
            text = f"accepts the call for contact {call['contact_id']}, main contact {call['main_contact_id']}"
            yield Step(_time(call["started_at"]), event.name, BRIDGE, text)
        elif event.name == "handoff.started":
            text = f"requests the handoff: to {handoff['destination']}, reason {handoff['reason']}"
            yield Step(_time(handoff["handoff_at"]), event.name, AGENT, text)
        elif event.name == "handoff.finished":
            confirmed = "confirmed" if handoff["confirmed"] else "not confirmed"
            yield Step(_time(handoff["finished_at"]), event.name, BRIDGE, f"{handoff['state']}, {confirmed}")
        elif event.name == "call.ended":
            text = f"call ended by the {call['ended_by']}: {call['result']}"
            yield Step(_time(call["ended_at"]), event.name, BRIDGE, text)


def of_log(log: Path, call_id: str) -> Iterator[Step]:
    """Further events of the call in the bridge's log."""
    for line in log.read_text().splitlines():
        if not line.startswith("{"):
            continue
        entry: dict[str, Any] = json.loads(line)
        if entry.get("call_id") != call_id:
            continue
        if entry["event"] == "AgentConnected":
            text = f"{entry['agent_type']} agent of project {entry['project']}, client {entry['client']}, is connected"
            yield Step(_time(entry["time"]), "agent", AGENT, text)
        elif (entry["event"], entry.get("stage")) == ("HandoffStage", "store"):
            yield Step(_time(entry["time"]), "stored", BRIDGE, "record stored: a screen-pop finds it from now on")


def of_signals(signals: Iterable[dict[str, Any]]) -> Iterator[Step]:
    """The Signals that CXone's script received."""
    for signal in signals:
        text = f"Signal for contact {signal['contact_id']}"
        yield Step(_time(signal["at"]), "signal", CXONE, text, tuple(sorted(signal["parameters"].items())))


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
            yield Step(_time(event.data["at"]), event.name, BRIDGE, text)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()
