"""What became of stamped frames on their way: lost, repeated, out of order, late, and how long they took."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .stamp import Heard

LATE_MS = 20.0


@dataclass
class Quality:
    """Of one way of a call, or of many taken together.

    A frame of which any part arrived as it was said is not lost; where not all of it did, it is altered.
    A frame is late when it took over 20 ms more than the median of its own stream: what a listener whose buffer holds
    one frame would have missed. Delays are in milliseconds, those of frames that arrived, in no order.
    """

    sent: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    late: int = 0
    altered: int = 0
    delays_ms: list[float] = field(default_factory=list, repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether all came, once each, in order, and as it was said; however late."""
        return not (self.lost or self.repeated or self.out_of_order or self.altered)

    def delay_ms(self, percent: float) -> float:
        """Nearest-rank percentile of the delays; not a number where nothing arrived."""
        return percentile(self.delays_ms, percent)

    def add(self, other: Quality) -> None:
        """Take another stream in."""
        self.sent += other.sent
        self.lost += other.lost
        self.repeated += other.repeated
        self.out_of_order += other.out_of_order
        self.late += other.late
        self.altered += other.altered
        self.delays_ms += other.delays_ms


def judge(sent: Sequence[int], heard: Iterable[Heard], begin_ns: int = 0, end_ns: int = 1 << 63) -> Quality:
    """Judge one stream: when each of its frames was sent, and those that arrived; as far as sent in a span of time."""
    due = {number for number, at_ns in enumerate(sent) if begin_ns <= at_ns < end_ns}
    arrived = sorted((each for each in heard if _is_sent(each, sent, due)), key=lambda each: each.at_ns)
    numbers = [each.stamp.number for each in arrived]
    delays = [(each.at_ns - each.stamp.sent_ns) / 1e6 for each in arrived]
    usual = percentile(delays, 50)
    return Quality(
        sent=len(due),
        lost=len(due - set(numbers)),
        repeated=len(numbers) - len(set(numbers)),
        out_of_order=sum(after < before for before, after in itertools.pairwise(numbers)),
        late=sum(delay > usual + LATE_MS for delay in delays),
        altered=sum(not each.whole for each in arrived),
        delays_ms=delays,
    )


def _is_sent(heard: Heard, sent: Sequence[int], due: set[int]) -> bool:
    """Tell a stamp of this stream from one of another's, and from one that was altered and still reads as a stamp."""
    return heard.stamp.number in due and sent[heard.stamp.number] == heard.stamp.sent_ns


def judge_all(
    sent: Mapping[int, Sequence[int]], heard: Iterable[Heard], begin_ns: int = 0, end_ns: int = 1 << 63
) -> Quality:
    """Judge many streams, by their numbers, and take them together."""
    by_stream: dict[int, list[Heard]] = defaultdict(list)
    for each in heard:
        by_stream[each.stamp.stream].append(each)
    total = Quality()
    for stream, times in sent.items():
        total.add(judge(times, by_stream[stream], begin_ns, end_ns))
    return total


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value of the nearest rank; not a number where there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan
