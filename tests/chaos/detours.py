"""The calls that the proxy gave to another node than the first: how much later their callers were answered."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence

from .callers import Caller
from .counts import Breach, Counts

SILENT_SECONDS = 4.0  # at most, from INVITE to 200 if one node is silent
REJECTED_SECONDS = 0.05  # at most, later than others if one node rejects the call, in the middle of all
FEW = 5  # calls whose median says nothing

_SILENT = re.compile(r"call (\S+): node \S+ is silent")
_NEXT = re.compile(r"call (\S+): next node")


def count_detours(counts: Counts, callers: Sequence[Caller], proxy_log: str) -> None:
    """Count them by what the proxy logged, and check the times."""
    silent = Counter(_SILENT.findall(proxy_log))
    passed_on = set(_NEXT.findall(proxy_log))
    answered = [caller for caller in callers if caller.is_answered]
    to_silent = [caller for caller in answered if silent[caller.call_id] == 1]
    rejected = [caller for caller in answered if caller.call_id in passed_on - silent.keys()]
    direct = [caller for caller in answered if caller.call_id not in passed_on]
    if to_silent:
        longest = max(caller.answer_seconds for caller in to_silent)
        counts.facts["INVITE to 200, after a silent node"] = f"{len(to_silent)} calls, {longest:.2f} s at most"
        late = [caller.contact for caller in to_silent if caller.answer_seconds > SILENT_SECONDS]
        if late:
            counts.late.append(Breach(f"answered after {SILENT_SECONDS:g} s", late))
    if rejected:
        after, others = _median(rejected), _median(direct)
        text = f"{len(rejected)} calls, median {1000 * after:.0f} ms (others {1000 * others:.0f} ms)"
        counts.facts["INVITE to 200, after a rejection"] = text
        if len(rejected) >= FEW and after - others > REJECTED_SECONDS:
            counts.late.append(Breach("a rejection costs too much", [text]))


def _median(callers: Sequence[Caller]) -> float:
    return statistics.median(caller.answer_seconds for caller in callers)
