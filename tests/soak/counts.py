"""The counts of a soak: what SIPp, the simulator, the metrics and the store each counted, and whether they agree."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sipbridge.store.journal.entries import OpenCalls
from tests.harness.web.metrics import Metrics

from .chat_bot import BotChat
from .streams import CallCounts

Record = Mapping[str, Any]
Labels = tuple[str, ...]

# The simulator's responses, by the resulting state of a Signal (contract, section 4). 401, 429 and 503 are retried.
_ARRIVED = ("200", "202", "500", "reset")
_REFUSED = ("302", "404")
# Calls that end without a handoff, and are reported to CXone by `end_signal`.
_END_SIGNALLED = ("agent_ended", "prompt_ended", "hung_up_by_api", "media_timeout")


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity, counted by several sources that must agree."""

    what: str
    counts: Mapping[str, int]

    @property
    def agrees(self) -> bool:
        """True if all counts are the same."""
        return len(set(self.counts.values())) == 1

    def __str__(self) -> str:
        counts = "   ".join(f"{who} {count}" for who, count in self.counts.items())
        return f"  {'agree ' if self.agrees else 'DIFFER'}  {self.what:44} {counts}"


@dataclass(frozen=True)
class Counts:
    """All counts, from the bridge's start to the end of the last call."""

    placed: Sequence[CallCounts]
    called: Sequence[CallCounts]  # by the called parties
    metrics: Metrics
    records: Sequence[Record]
    signals: Sequence[Record]
    requests: Mapping[str, int]  # for Signals, by the simulator's response
    open_calls: int
    reloads: int
    internal_errors: int
    chats: Sequence[BotChat]  # each compared with the desk when it ended
    chat_connections: int

    def rows(self) -> Iterator[Row]:
        """Compare each count with the others."""
        yield from self._invites()
        yield from self._calls()
        yield from self._outcomes()
        yield from self._signals()
        yield from self._chats()
        yield Row("open calls in the journal", {"journal": self.open_calls, "due": 0})
        errors = round(self.metrics.value("sipbridge_store_errors_total"))
        yield Row("records that could not be written", {"metrics": errors, "due": 0})
        yield Row("internal errors", {"log": self.internal_errors, "due": 0})
        read = round(self.metrics.value("sipbridge_config_reloads_total", result="success"))
        yield Row("configuration reloads", {"sent": self.reloads, "metrics": read})

    def _invites(self) -> Iterator[Row]:
        answered: Counter[Labels] = Counter()
        for placed in self.placed:
            answered[(str(placed.stream.code),)] += placed.succeeded
        counted = self.metrics.by("sipbridge_invites_total", "code")
        yield from compare("INVITEs by final response", {"SIPp": answered, "metrics": counted})

    def _calls(self) -> Iterator[Row]:
        recorded = Counter(record["contact_id"].rpartition("-")[0] + "-" for record in self.records)
        ended = self.metrics.by("sipbridge_calls_total", "project")
        called = {party.stream.name: party for party in self.called}
        for stream in dict.fromkeys(placed.stream for placed in self.placed):
            mine = [placed for placed in self.placed if placed.stream == stream]
            made, went = sum(each.calls for each in mine), sum(each.succeeded for each in mine)
            counts = {"SIPp": made, "as the scenario says": went}
            due = made if stream.leaves_record else 0
            counts |= {"records": sum(recorded[each.prefix] for each in mine) + made - due}
            counts |= {"metrics": ended[(stream.name,)] + made - due}
            if party := called.get(stream.name):
                counts |= {"called party": party.calls, "as its scenario says": party.succeeded}
            yield Row(f"calls: {stream.name}", counts)

    def _outcomes(self) -> Iterator[Row]:
        records = self.records
        final = sum(
            record["state"] == "ended"
            and record["result"] is not None
            and (record["handoff"] is None or record["handoff"]["state"] != "handoff_initiated")
            for record in records
        )
        yield Row("records, and those with a final state", {"records": len(records), "final": final})
        ended: Counter[Labels] = Counter((record["project"], record["result"], record["reason"]) for record in records)
        counted = self.metrics.by("sipbridge_calls_total", "project", "result", "reason")
        yield from compare("calls by project, result and reason", {"records": ended, "metrics": counted})
        handed: Counter[Labels] = Counter(
            (record["project"], record["handoff"]["method"], record["result"], record["reason"])
            for record in records
            if record["handoff"]
        )
        counted = self.metrics.by("sipbridge_handoffs_total", "project", "method", "result", "reason")
        yield from compare("handoffs by project, method, result, reason", {"records": handed, "metrics": counted})

    def _signals(self) -> Iterator[Row]:
        contacts = Counter(signal["contact_id"] for signal in self.signals)
        yield Row("Signals accepted, and contacts signalled", {"Signals": contacts.total(), "contacts": len(contacts)})
        by_signal: dict[str, set[str]] = {}
        for record in self.records:
            if record["handoff"]:
                by_signal.setdefault(record["handoff"]["signal"], set()).add(record["contact_id"])
        accepted = by_signal.get("accepted", set())
        yield Row("accepted", {"records": len(accepted), "of them at CXone": len(accepted & contacts.keys())})
        not_taken = by_signal.get("refused", set()) | by_signal.get("undelivered", set()) | by_signal.get("none", set())
        yield Row("refused or not delivered, yet at CXone", {"simulator": len(not_taken & contacts.keys()), "due": 0})
        goodbyes = {
            record["contact_id"]
            for record in self.records
            if record["handoff"] is None and record["reason"] in _END_SIGNALLED
        }
        accounted = accepted | by_signal.get("unknown", set()) | goodbyes
        yield Row("at CXone, and not in the records", {"simulator": len(contacts.keys() - accounted), "due": 0})
        tried = sum(len(found) for signal, found in by_signal.items() if signal != "none") + len(goodbyes)
        by_result = self.metrics.by("sipbridge_signals_total", "result")
        yield Row("Signals tried", {"records": tried, "metrics": by_result.total()})
        arrived = by_result[("success",)] + by_result[("indeterminate",)]
        yield Row(
            "arrived, or not known",
            {"simulator": sum(self.requests.get(a, 0) for a in _ARRIVED), "metrics": arrived},
        )
        refused = sum(self.requests.get(answer, 0) for answer in _REFUSED)
        yield Row("refused by CXone", {"simulator": refused, "metrics": by_result[("client_error",)]})

    def _chats(self) -> Iterator[Row]:
        ended = self.metrics.by("sipbridge_chats_total", "result")
        counts = {"bot": len(self.chats), "metrics": ended.total(), "of them success": ended[("success",)]}
        yield Row("chats", counts)
        relayed = self.metrics.by("sipbridge_chat_messages_total", "direction", "delivery")
        sent = sum(len(chat.sent) for chat in self.chats)
        yield Row("messages to human agents", {"bot": sent, "metrics": relayed[("to_agent", "delivered")]})
        received = sum(len(chat.received) for chat in self.chats)
        yield Row("messages to the bot", {"bot": received, "metrics": relayed[("to_bot", "delivered")]})
        yield Row("messages with another fate", {"metrics": relayed.total() - sent - received, "due": 0})
        yield Row("connections to the chat gateway", {"simulator": self.chat_connections, "due": 0})


def compare(what: str, counted: Mapping[str, Counter[Labels]]) -> Iterator[Row]:
    """Yield one row for all kinds together, and one for each kind with different counts."""
    yield Row(what, {who: counts.total() for who, counts in counted.items()})
    for kind in sorted({kind for counts in counted.values() for kind in counts}, key=str):
        row = Row(f"{what}: {kind}", {who: counts[kind] for who, counts in counted.items()})
        if not row.agrees:
            yield row


def read_records(store: Path) -> list[Record]:
    """Read every record of a SQLite store while the bridge has it open."""
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as connection:
        return [json.loads(body) for (body,) in connection.execute("SELECT body FROM calls")]


def count_open(journal: Path) -> int:
    """Count the open calls in a journal."""
    calls = OpenCalls()
    for line in journal.read_bytes().splitlines():
        calls.add_line(line)
    return len(calls.unfinished())
