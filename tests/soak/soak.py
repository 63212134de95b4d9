"""`make soak`: calls of every kind and chats for any length of time, with random faults; then nothing may be left.

SIPp is the trunk, the SIP agents and the desks; the simulator is CXone. After the last call and the last chat, those in
progress, asyncio tasks, sockets, files, threads and memory must be at the level that a warm-up left, and the counts of
SIPp, the bot, the simulator, the metrics and the store must agree exactly.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.settings import key
from tests.harness.usage import allow_many_sockets
from tests.harness.waiting import wait_for

from .agents import ApiClient
from .counts import Counts, Row, count_open, read_records
from .faults import Faults
from .footprint import Footprint
from .site import CHAT_PROJECT, CLIENT, SoakSite, soak_site
from .streams import CallCounts, Traffic

CALLS_PER_SECOND = 8.0
CHATS_PER_SECOND = 0.5
FAULTS_PER_SECOND = 2.0
PROGRESS_SECONDS = 30.0
# A transaction is kept for 32 s (RFC 3261, 17.1.1.2: Timer D), an idle connection to CXone for 15 to 30.
SETTLE_SECONDS, SHORT_SETTLE_SECONDS, RETURN_SECONDS = 40.0, 2.0, 90.0
MAX_GROWTH_MB = 5.0
# The length of a long soak. In a shorter one, memory still grows to the peak of simultaneous calls and faults, and
# waiting for pooled connections to close would take longer than the calls.
LONG_SECONDS = 1800.0
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class SoakResult:
    """The results of a soak; with `is_long`, memory and pooled connections count."""

    rows: list[Row]
    before: Footprint
    after: Footprint
    is_long: bool
    faults: Counter[str]
    errors: str

    @property
    def has_grown(self) -> bool:
        """True if memory has grown more than it may."""
        return self.is_long and self.after.rss_mb > self.before.rss_mb + MAX_GROWTH_MB

    @property
    def is_clean(self) -> bool:
        """True if all counts agree, and nothing is left."""
        return all(row.agrees for row in self.rows) and not self.has_leaked and not self.has_grown

    @property
    def has_leaked(self) -> bool:
        """True if anything but memory is held that was not held before."""
        return not self.after.is_within(self.before, pool=self.is_long)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, and print the results; return 1 if something is left or counts differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=CALLS_PER_SECOND, help="calls per second, of all kinds")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and the agents' behaviour")
    options = parser.parse_args(arguments)
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="sipbridge-soak-") as name:
        result = soak(Path(name), 60 * options.minutes, rate=options.rate, seed=options.seed, report=_print_progress)
    print_result(result)
    return 0 if result.is_clean else 1


def soak(folder: Path, seconds: float, *, rate: float, seed: int, report: Callable[[str], None]) -> SoakResult:
    """Warm up for a quarter of the time, at most ten minutes; measure at rest; run; measure again."""
    is_long = seconds >= LONG_SECONDS
    with soak_site(folder, seed) as site, ApiClient(site.bridge, CLIENT, seed):
        with Faults(site, seed, 1 / FAULTS_PER_SECOND) as faults:
            placed, errors = _calls(site, folder, "w", rate, min(seconds / 4, 600.0), report)
        site.start_all_readers()
        report("warmed up; waiting for its calls to end …")
        before = _wait_until_settled(site, SETTLE_SECONDS if is_long else SHORT_SETTLE_SECONDS)
        report(f"at rest: {before}")
        with Faults(site, seed + 1, 1 / FAULTS_PER_SECOND) as more:
            rest, more_errors = _calls(site, folder, "s", rate, seconds, report)
        after = _wait_for_return(site, before, pool=is_long)
        report(f"at rest: {after}")
        done = faults.done + more.done
        counts = _counts(site, placed + rest, done["SIGHUP"])
        errors = "\n".join([errors, more_errors, *_internal_errors(site)]).strip()
        return SoakResult(list(counts.rows()), before, after, is_long, done, errors)


def _wait_until_settled(site: SoakSite, unchanged_seconds: float) -> Footprint:
    """Return what is held once nothing has changed for this long; at the latest after `RETURN_SECONDS`."""
    deadline = time.monotonic() + RETURN_SECONDS
    last, since = site.footprint(), time.monotonic()
    while time.monotonic() - since < unchanged_seconds and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        now = site.footprint()
        if now.calls or now.chats or not (now.is_within(last) and last.is_within(now)):
            since = time.monotonic()
        last = now
    return last


def _wait_for_return(site: SoakSite, earlier: Footprint, *, pool: bool) -> Footprint:
    """Return what is held once it is no more than earlier; at the latest after `RETURN_SECONDS`."""
    deadline = time.monotonic() + RETURN_SECONDS
    while not (now := site.footprint()).is_within(earlier, pool=pool) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return now


def _calls(
    site: SoakSite, folder: Path, name: str, rate: float, seconds: float, report: Callable[[str], None]
) -> tuple[list[CallCounts], str]:
    """Place calls of every kind; return SIPp's counts when the last one has ended."""
    traffic = Traffic(folder, name, site.bridge.sip, site.rtp.port, rate=rate, seconds=seconds)
    site.chats.begin(
        site.bridge.project(CLIENT, CHAT_PROJECT, key(CHAT_PROJECT)).url, site.cxone.desk, CHATS_PER_SECOND
    )
    began = time.monotonic()
    reported = 0.0
    try:
        while not traffic.is_over and (passed := time.monotonic() - began) < seconds + 90:
            if passed - reported >= PROGRESS_SECONDS:
                reported = passed
                ended = site.bridge.metrics().value("sipbridge_calls_total")
                report(f"{passed / 60:.1f} of {seconds / 60:.1f} min: {ended:.0f} calls ended, {site.footprint()}")
            time.sleep(0.2)
        site.chats.end()
        return traffic.results(), traffic.errors()
    finally:
        traffic.stop()


def _counts(site: SoakSite, placed: Sequence[CallCounts], reloads: int) -> Counts:
    site.bridge.wait_until_idle(30)
    site.bridge.wait_for_metric(0, "sipbridge_chats_active")
    with suppress(TimeoutError):  # the counts report what is left
        wait_for(lambda: count_open(site.journal) == 0, "the journal to close the last call", 5)
    return Counts(
        placed=placed,
        called=site.end_called_parties(),
        metrics=site.bridge.metrics(),
        records=read_records(site.store),
        signals=site.cxone.all_signals(),
        requests=site.cxone.requests().get("signal", {}),
        open_calls=count_open(site.journal),
        reloads=reloads,
        chats=site.chats.over,
        chat_connections=len(site.cxone.desk.connections()),
        internal_errors=len(_internal_errors(site)),
    )


def _internal_errors(site: SoakSite) -> list[str]:
    """Return the lines of the log about faults of the bridge."""
    lines = site.bridge.program.log.read_text(errors="replace").splitlines()
    return [line for line in lines if '"internal_error"' in line]


def print_result(result: SoakResult) -> None:
    """Print the counts, the resources, and the deliberate faults."""
    write = sys.stdout.write
    write("\nCounts\n\n" + "".join(f"{row}\n" for row in result.rows))
    left = "SOMETHING IS LEFT" if result.has_leaked else "nothing is left"
    write(f"\nResources: {left}{', and memory HAS GROWN' if result.has_grown else ''}\n\n")
    write(f"  at rest   {result.before}\n  after     {result.after}\n")
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(result.faults.items()))
    write(f"\n  faults: {faults}\n")
    if not all(row.agrees for row in result.rows) and result.errors:
        write(f"\n{result.errors}\n")
    write(f"\n{'clean' if result.is_clean else 'NOT CLEAN'}\n")


def _print_progress(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
