"""The results of the audio benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.harness.media.quality import Quality

TO_AGENT, TO_CALLER, ROUND_TRIP = "to the agent", "to the caller", "round trip"
NAMES = {"sip": "SIP pairs", "websocket": "WebSocket", "echo": "echoes"}  # by the kind of the calls


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of all calls: frames of 20 ms, delays in milliseconds."""

    sent: int
    lost: int
    repeated: int
    out_of_order: int
    late: int
    altered: int
    delay_p50_ms: float
    delay_p99_ms: float

    @classmethod
    def of(cls, quality: Quality) -> Direction:
        """Summarise the quality."""
        return cls(
            quality.sent,
            quality.lost,
            quality.repeated,
            quality.out_of_order,
            quality.late,
            quality.altered,
            quality.delay_ms(50),
            quality.delay_ms(99),
        )

    @property
    def lost_percent(self) -> float:
        """Percentage of the frames sent."""
        return 100 * self.lost / max(1, self.sent)

    @property
    def late_percent(self) -> float:
        """Percentage of the frames sent."""
        return 100 * self.late / max(1, self.sent)

    @property
    def altered_percent(self) -> float:
        """Percentage of the frames sent."""
        return 100 * self.altered / max(1, self.sent)


@dataclass(frozen=True, slots=True)
class Level:
    """Simultaneous calls with audio in both directions; processor time in percent of one core, the machine's of all.

    The machine's `other` is the time that neither the bridge nor its callers and agents used.
    """

    kind: str
    calls: int
    failed: int
    bridge_idle_percent: float
    bridge_percent: float
    callers_percent: float
    agents_percent: float
    machine_busy_percent: float
    machine_stolen_percent: float
    machine_other_percent: float
    rss_idle_mb: float
    rss_per_call_mb: float
    ways: dict[str, Direction]  # `TO_AGENT` and `TO_CALLER`, or `ROUND_TRIP`
    generators_unevenness_p99_ms: float
    generators_dropped: int

    @property
    def cpu_percent_per_call(self) -> float:
        """In percent of one core, without the idle bridge's own part."""
        return self.bridge_percent / self.calls


@dataclass
class Report:
    """All results."""

    cores: int
    seconds: float
    levels: list[Level] = field(default_factory=list)
