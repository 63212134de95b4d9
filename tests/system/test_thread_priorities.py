"""The priorities of the bridge's threads: those that carry calls come before other programs, the others do not."""

from __future__ import annotations

import os
import subprocess

from tests.harness.threads import threads

from .site import Site

# Real-time priorities. All other threads have none, such as those that write.
PRIORITIES = {"media clock": 2, "event loop": 1, "sip": 1}
BACKGROUND = {"store-writer", "journal-writer", "log-writer"}


def test_the_threads_that_carry_calls_have_real_time_priority_if_permitted_and_no_others(trunk: Site) -> None:
    found = {each.name: priority(each.number) for each in threads(trunk.bridge.program.pid).values()}
    assert set(found) >= {*PRIORITIES, *BACKGROUND}
    assert {name: each for name, each in found.items() if each} == (PRIORITIES if is_permitted() else {})


def priority(thread: int) -> int:
    """The real-time priority of a thread; 0 if it has none."""
    real_time = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
    return os.sched_getparam(thread).sched_priority if real_time else 0


def is_permitted() -> bool:
    """True if this machine permits it to the programs of the tests, and has more than one core for them."""
    tried = subprocess.run(["/usr/bin/chrt", "--rr", "2", "/bin/true"], capture_output=True, check=False)
    return tried.returncode == 0 and len(os.sched_getaffinity(0)) > 1
