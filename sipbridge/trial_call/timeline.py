"""The timeline of a call: its steps, as each program saw them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sipbridge.calls.outcomes import HandoffReason
from sipbridge.simulators.caller.messages import SipMessage
from sipbridge.terminal import Style

TRUNK, CALLER, BRIDGE, AGENT, CXONE = "trunk", "caller", "bridge", "agent", "CXone"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `name` identifies it among the steps of a call, some of which occur more than once."""

    at: datetime
    name: str
    who: str
    text: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the API's event stream: its name, and its JSON."""

    name: str
    data: dict[str, Any]


def of_sip(messages: Iterable[SipMessage]) -> Iterator[Step]:
    """The SIP messages on the trunk; only those responses that say something new."""
    answered = False
    for message in messages:
        described = _describe(message)
        answered = answered or (message.method, message.status) == ("INVITE", 200)
        if described and (answered or message.method != "ACK"):
            way = "→" if message.sent else "←"
            yield Step(message.at.astimezone(), described[0], TRUNK, f"{way} {described[1]}")


def _describe(message: SipMessage) -> tuple[str, str] | None:
    if message.status:
        answer = message.start_line.removeprefix("SIP/2.0 ")
        if (message.method, message.status) == ("INVITE", 200):
            answer += f", call {message.header('X-Sipbridge-Call-Id')}"
        return (str(message.status), answer) if message.method in ("INVITE", "REFER") else None
    described = {
        "INVITE": f"INVITE {_user(message.start_line.split()[1])}, from {_user(message.header('From'))}",
        "ACK": "ACK: audio flows in both directions",
        "REFER": ", ".join([f"REFER to {message.header('Refer-To').strip('<>')}", *_extensions(message)]),
        "NOTIFY": f"NOTIFY {message.body.strip().removeprefix('SIP/2.0 ')}",
        "BYE": "BYE",
    }.get(message.method)
    return (message.method, described) if described else None


def _extensions(message: SipMessage) -> list[str]:
    """Return the X- headers of a message."""
    return [f"{name} {value}" for name, value in re.findall(r"^(X-[^:\s]+)\s*:[ \t]*(.*)$", message.head, re.MULTILINE)]


def _user(uri: str) -> str:
    return uri.partition("sip:")[2].partition("@")[0]


def of_events(events: Iterable[Event]) -> Iterator[Step]:
    """The events of the API's event stream."""
    for event in events:
        call = event.data
        handoff = call["handoff"] or {}
        if event.name == "call.started":
            text = f"accepts the call for contact {call['contact_id']}, main contact {call['main_contact_id']}"
            yield Step(time_of(call["started_at"]), event.name, BRIDGE, text)
        elif event.name == "handoff.started":
            text = f"requests the handoff: to {handoff['destination']}, reason {handoff['reason']}"
            yield Step(time_of(handoff["handoff_at"]), event.name, _requester(handoff), text)
        elif event.name == "handoff.finished":
            confirmed = "confirmed" if handoff["confirmed"] else "not confirmed"
            yield Step(time_of(handoff["finished_at"]), event.name, BRIDGE, f"{handoff['state']}, {confirmed}")
        elif event.name == "call.ended":
            text = f"call ended by the {call['ended_by']}: {call['result']}"
            yield Step(time_of(call["ended_at"]), event.name, BRIDGE, text)


def _requester(handoff: dict[str, Any]) -> str:
    return BRIDGE if handoff["reason"] in set(HandoffReason) else AGENT


def of_signals(signals: Iterable[dict[str, Any]]) -> Iterator[Step]:
    """The Signals that CXone's script received."""
    for signal in signals:
        text = f"Signal for contact {signal['contact_id']}"
        yield Step(time_of(signal["at"]), "signal", CXONE, text, tuple(sorted(signal["parameters"].items())))


def time_of(text: str) -> datetime:
    """Return a time of the API in the local time zone."""
    return datetime.fromisoformat(text).astimezone()


def in_order(steps: Iterable[Step], names: Sequence[str]) -> list[Step]:
    """Sort steps by their times in whole milliseconds. Steps with equal times have the order of `names`."""
    return sorted(steps, key=lambda step: (_millisecond(step), names.index(step.name)))


def lines_of(steps: Sequence[Step], style: Style) -> Iterator[str]:
    """Return the lines of a timeline, in seconds from the first step."""
    width = max((len(step.who) for step in steps), default=0) + 2
    for step in steps:
        seconds = (_millisecond(step) - _millisecond(steps[0])).total_seconds()
        yield f"  {seconds:7.3f}  {style.bold}{step.who:{width}}{style.plain}{step.text}"
        for name, value in step.details:
            yield f"{'':{width + 13}}{style.dim}{name}{style.plain}  {value}"


def _millisecond(step: Step) -> datetime:
    return step.at.replace(microsecond=step.at.microsecond // 1000 * 1000)
