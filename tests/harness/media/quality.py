"""The fate of stamped frames: lost, repeated, out of order, late, altered, and their delays."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .stamp import ReceivedFrame

LATE_MS = 20.0


@dataclass
class Quality:
    """The quality of one direction of a call, or the sum of many.

    A frame of which any part arrived unchanged is not lost; if another part did not, the frame is altered. A frame is
    late if its delay exceeds the median of its own stream by 20 ms: a listener with a buffer of one frame would have
    missed it. Delays are in milliseconds, for the frames that arrived, in no particular order.
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
        """True if all frames arrived once, in order and unchanged, however late."""
        return not (self.lost or self.repeated or self.out_of_order or self.altered)

    def delay_ms(self, percent: float) -> float:
        """Return the nearest-rank percentile of the delays; NaN if no frame arrived."""
        return percentile(self.delays_ms, percent)

    def add(self, other: Quality) -> None:
        """Add another stream."""
        self.sent += other.sent
        self.lost += other.lost
        self.repeated += other.repeated
        self.out_of_order += other.out_of_order
        self.late += other.late
        self.altered += other.altered
        self.delays_ms += other.delays_ms


def measure_stream(
    sent: Sequence[int], received: Iterable[ReceivedFrame], begin_ns: int = 0, end_ns: int = 1 << 63
) -> Quality:
    """Compare the send times of a stream's frames, within a span of time, with the frames that arrived."""
    due = {number for number, at_ns in enumerate(sent) if begin_ns <= at_ns < end_ns}
    arrived = sorted((each for each in received if _is_sent(each, sent, due)), key=lambda each: each.at_ns)
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


def _is_sent(received: ReceivedFrame, sent: Sequence[int], due: set[int]) -> bool:
    """Return True for a stamp of this stream; False for another stream's, and for an altered one that parses."""
    return received.stamp.number in due and sent[received.stamp.number] == received.stamp.sent_ns


def measure_streams(
    sent: Mapping[int, Sequence[int]], received: Iterable[ReceivedFrame], begin_ns: int = 0, end_ns: int = 1 << 63
) -> Quality:
    """Compare many streams, by their numbers, and add up the results."""
    by_stream: dict[int, list[ReceivedFrame]] = defaultdict(list)
    for each in received:
        by_stream[each.stamp.stream].append(each)
    total = Quality()
    for stream, times in sent.items():
        total.add(measure_stream(times, by_stream[stream], begin_ns, end_ns))
    return total


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank value; NaN if there are no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan
