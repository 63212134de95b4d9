"""The calls that the proxy gave to another node than the first: how much later their callers were answered."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from .callers import Caller
from .counts import Breach, Counts

DEAD_SECONDS = 4.0  # at most, from INVITE to 200 if nodes are dead, however many
REJECTED_SECONDS = 0.05  # at most, later than others if one node rejects the call, in the middle of all
FEW = 5  # calls whose median says nothing

_SILENT = re.compile(r"call (\S+): node \S+ is silent")
_REJECTED = re.compile(r"call (\S+): node (\S+) rejects it")

WasUp = Callable[[str, float], bool]  # a node, by its SIP URI, at a time in seconds since 1970


def count_detours(counts: Counts, callers: Sequence[Caller], proxy_log: str, was_up: WasUp) -> None:
    """Count them by what the proxy logged, and check the times.

    A node that was dead at the INVITE, and has started since, rejects a repetition of it. The proxy repeats it after
    0.5 s and 1.5 s, so that this call waited for a dead node, and not for a rejection.
    """
    silent = Counter(_SILENT.findall(proxy_log))
    rejected_by = dict(_REJECTED.findall(proxy_log))
    dead: list[Caller] = []
    rejected: list[Caller] = []
    direct: list[Caller] = []
    for caller in filter(lambda caller: caller.is_answered, callers):
        node = rejected_by.get(caller.call_id)
        if silent[caller.call_id] or (node and not was_up(node, caller.invited_at.timestamp())):
            dead.append(caller)
        else:
            (rejected if node else direct).append(caller)
    if dead:
        _check_dead(counts, dead, sum(silent[caller.call_id] > 1 for caller in dead))
    if rejected:
        _check_rejected(counts, rejected, direct)


def _check_dead(counts: Counts, callers: Sequence[Caller], with_several: int) -> None:
    longest = max(caller.answer_seconds for caller in callers)
    counts.facts["INVITE to 200, after a dead node"] = (
        f"{len(callers)} calls ({with_several} after several), {longest:.2f} s at most"
    )
    late = [caller.contact for caller in callers if caller.answer_seconds > DEAD_SECONDS]
    if late:
        counts.late.append(Breach(f"answered after {DEAD_SECONDS:g} s", late))


def _check_rejected(counts: Counts, callers: Sequence[Caller], direct: Sequence[Caller]) -> None:
    after, others = _median(callers), _median(direct)
    text = f"{len(callers)} calls, median {1000 * after:.0f} ms (others {1000 * others:.0f} ms)"
    counts.facts["INVITE to 200, after a rejection"] = text
    if len(callers) >= FEW and after - others > REJECTED_SECONDS:
        counts.late.append(Breach("a rejection costs too much", [text]))


def _median(callers: Sequence[Caller]) -> float:
    return statistics.median([caller.answer_seconds for caller in callers] or [0.0])
