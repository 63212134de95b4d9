"""The result of a run: a table of the counts, and what was broken."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from .counts import Counts
from .http_clients import Chats


def print_result(counts: Mapping[str, Counts], chats: Chats, folder: Path, *, keep: bool) -> int:
    """Print all counts; return 1 if a rule was broken. Then, or with `keep`, the folder with the logs remains."""
    for phase, each in counts.items():
        sys.stdout.write("".join(f"{line}\n" for line in _lines(phase, each)))
    sys.stdout.write(f"\nchats\n  {chats.seen}\n")
    breaches = [f"{phase}: {breach}" for phase, each in counts.items() for breach in (*each.breaches, *each.late)]
    breaches += [f"chats: {fault}" for fault in chats.faults]
    if breaches:
        sys.stdout.write("\nBROKEN\n" + "".join(f"  {line}\n" for line in breaches))
    else:
        sys.stdout.write("\nNo rule was broken.\n")
    if breaches or keep:
        sys.stdout.write(f"\nLogs: {folder}\n")
    else:
        shutil.rmtree(folder)
    return 1 if breaches else 0


def _lines(phase: str, counts: Counts) -> Iterator[str]:
    yield f"\n{phase}"
    rows = {
        "calls": counts.calls,
        "answered": counts.answered,
        "contacts with one Signal": counts.signalled,
        "saved by another node or a restart": counts.saved,
        "conversations without a Signal": _listed(counts.not_signalled),
        "of them, callers without BYE": counts.without_end,
        "not answered": _listed(counts.not_answered),
        "events that arrived once": counts.events,
        **counts.facts,
    }
    for what, value in rows.items():
        yield f"  {what:42} {value}"


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counter.items())) or "0"
