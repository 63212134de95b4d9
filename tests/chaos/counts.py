"""The counts of a phase, and the rules that no fault may break.

Each contact that was in a conversation has one Signal, or one of the named reasons for none. Each has its record, with
a final state, and each event of that record has reached the readers once. What is not so is a `Breach`, with ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sipbridge.calls.milestones import milestones_of
from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffState
from sipbridge.store.calls.rows import to_record
from tests.harness.programs.redis import RedisServer

from .callers import Caller

Records = Mapping[str, Sequence[CallRecord]]  # by contact
Events = Mapping[tuple[str, str], int]  # how often each was received, by the id of the call and the name

# Why the contact of a conversation may have no Signal.
BEGUN = "claimed, node died before it was sent"  # it may have arrived: no other node sends it
CUT_OFF = "node cut off: BYE or transfer without it"
# Why a caller may have no answer.
DIED = "node died between 100 and 200"
SAVED = ("node_lost", "bridge_restarted")
# Kamailio waits for an answer this long (`fr_inv_timer`), less what the clocks differ.
LONGEST_ANSWER_SECONDS = 59.0
MAX_SHOWN = 20


@dataclass(frozen=True)
class Breach:
    """A rule that was broken, and by which contacts or calls."""

    rule: str
    ids: Sequence[str]

    def __str__(self) -> str:
        more = f" and {len(self.ids) - MAX_SHOWN} more" if len(self.ids) > MAX_SHOWN else ""
        return f"{self.rule}: {', '.join(self.ids[:MAX_SHOWN])}{more}"


@dataclass
class Counts:
    """The counts of one phase, and the rules that were broken in it. `facts` are what else was measured."""

    calls: int = 0
    answered: int = 0
    signalled: int = 0
    saved: int = 0  # by another node, or by the restart of their own
    not_signalled: Counter[str] = field(default_factory=Counter)
    not_answered: Counter[str] = field(default_factory=Counter)
    without_end: int = 0  # neither a Signal nor BYE
    events: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    breaches: list[Breach] = field(default_factory=list)
    late: list[Breach] = field(default_factory=list)  # time limits that were missed: on a busy machine, for its sake

    def check(self, rule: str, ids: Sequence[str]) -> None:
        """Note that a rule was broken, if it was."""
        if ids:
            self.breaches.append(Breach(rule, ids))


@dataclass(frozen=True)
class Allowed:
    """The named reasons of a kind of fault: why contacts may have no Signal, and callers no answer."""

    no_signal: frozenset[str] = frozenset()
    no_answer: frozenset[str] = frozenset()


def read_records(redis: RedisServer, pattern: str) -> dict[str, list[CallRecord]]:
    """Return the records of calls, by contact; `pattern` is that of their projects, as in Redis."""
    keys = redis.run("KEYS", f"sipbridge:call:{pattern}:*")
    records: dict[str, list[CallRecord]] = {}
    for body in redis.run_all([("HGET", key, "body") for key in keys]):
        if body is not None:
            record = to_record(body)
            records.setdefault(record.contact_id, []).append(record)
    return records


def count(callers: Sequence[Caller], signals: Mapping[str, int], records: Records, allowed: Allowed) -> Counts:
    """Compare what the callers, CXone and the store have seen."""
    answered = [caller for caller in callers if caller.is_answered]
    counts = Counts(len(callers), len(answered))
    counts.signalled = sum(signals.get(caller.contact, 0) == 1 for caller in callers)
    counts.saved = sum(any(each.reason in SAVED for each in records.get(c.contact, ())) for c in answered)
    counts.check("signalled twice", [c.contact for c in callers if signals.get(c.contact, 0) > 1])
    counts.check("answered, without a record", [c.contact for c in answered if c.contact not in records])
    counts.check("no final state", [c.contact for c in callers if not all(map(_is_final, records.get(c.contact, ())))])
    _count_not_signalled([c for c in answered if not signals.get(c.contact, 0)], records, allowed, counts)
    _count_not_answered([caller for caller in callers if not caller.is_answered], allowed, counts)
    return counts


def count_events(counts: Counts, callers: Sequence[Caller], records: Records, seen: Events) -> None:
    """Compare the events of the callers' records with those that the readers got."""
    calls = [record for caller in callers for record in records.get(caller.contact, ())]
    due = {(record.call_id, each.type.value) for record in calls for each in milestones_of(record)}
    ids = {record.call_id for record in calls}
    counts.events = sum(seen.get(event, 0) == 1 for event in due)
    counts.check("event missing", [" ".join(event) for event in due if event not in seen])
    mine = {event: times for event, times in seen.items() if event[0] in ids}
    counts.check("event twice", [" ".join(event) for event, times in mine.items() if times > 1])
    # The rescuer of a node that is cut off does not know the last that this node wrote of a call.
    saved = {record.call_id for record in calls if record.reason in SAVED}
    counts.check("event of nothing in the record", [" ".join(e) for e in mine.keys() - due if e[0] not in saved])


def _count_not_signalled(callers: Sequence[Caller], records: Records, allowed: Allowed, counts: Counts) -> None:
    counts.without_end = sum(not caller.has_bye for caller in callers)
    reasons = {caller.contact: _why_no_signal(caller, records.get(caller.contact, ())) for caller in callers}
    counts.not_signalled.update(reasons.values())
    counts.check(
        "conversation without a Signal",
        [f"{contact} ({reason})" for contact, reason in reasons.items() if reason not in allowed.no_signal],
    )


def _count_not_answered(callers: Sequence[Caller], allowed: Allowed, counts: Counts) -> None:
    reasons = {caller.contact: _why_no_answer(caller) for caller in callers}
    counts.not_answered.update(reasons.values())
    counts.check(
        "failed call",
        [f"{contact} ({reason})" for contact, reason in reasons.items() if reason not in allowed.no_answer],
    )


def _is_final(record: CallRecord) -> bool:
    return record.state is CallState.ENDED and not (record.handoff and record.handoff.state is HandoffState.INITIATED)


def _why_no_signal(caller: Caller, records: Sequence[CallRecord]) -> str:
    signals = {record.handoff.signal for record in records if record.handoff}
    if "unknown" in signals:
        return BEGUN
    if caller.has_bye and any(record.result is Result.INDETERMINATE for record in records):
        return CUT_OFF  # a rescuer was notified of the Signal, and another one was not: so it was not sent
    if "undelivered" in signals and caller.has_bye:
        return CUT_OFF
    return ", ".join(f"{record.result} {record.reason}" for record in records)


def _why_no_answer(caller: Caller) -> str:
    if not caller.status or (caller.status == 408 and caller.answer_seconds > LONGEST_ANSWER_SECONDS):
        return DIED
    return str(caller.status)
