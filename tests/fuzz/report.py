"""The results of a run of the fuzzer."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.harness.media.quality import Quality, percentile


@dataclass
class FuzzReport:
    """Memory in megabytes: before, at each fifth of the messages, afterwards, and rested; times in milliseconds.

    `files` are the numbers of open files before and afterwards, `pools` those of PJSIP's pools in use, `faults`
    lines of the bridge's log about a fault of its own.
    """

    messages: int = 0
    seconds: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    connections: int = 0
    pings_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    files: tuple[int, int] = (0, 0)
    pools: tuple[int, int] = (0, 0)
    faults: list[str] = field(default_factory=list)
    audio: Quality = field(default_factory=Quality)

    def __str__(self) -> str:
        answers = " ".join(f"{status}:{count}" for status, count in sorted(self.statuses.items()))
        pings = [percentile(self.pings_ms, percent) for percent in (50, 99, 100)]
        memory = " ".join(f"{each:.0f}" for each in self.memory_mb)
        audio = self.audio
        lines = [
            f"{self.messages} messages in {self.seconds:.0f} s, over UDP and {self.connections} TCP connections",
            f"{len(self.kinds)} kinds of mutation, {sum(self.kinds.values())} mutations",
            f"answers: {answers}",
            f"OPTIONS meanwhile: p50 {pings[0]:.1f} ms, p99 {pings[1]:.1f} ms, at most {pings[2]:.0f} ms",
            f"audio of the bystanders: {audio.sent} frames, {audio.lost} lost, {audio.altered} altered",
            f"memory: {memory} MB",
            f"files open: {self.files[0]}, afterwards {self.files[1]}",
            f"PJSIP's pools in use: {self.pools[0]}, afterwards {self.pools[1]}",
        ]
        return "\n".join(lines + [f"the bridge's log: {line}" for line in self.faults[:10]])
