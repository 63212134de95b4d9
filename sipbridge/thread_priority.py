"""Real-time priority for the threads that carry calls, so that other programs do not delay audio and signalling."""

from __future__ import annotations

import os
import threading
from contextlib import suppress


def ask_for_real_time() -> bool:
    """Give the calling thread the lowest real-time priority, but not the threads that it starts; True if it has it.

    The system permits it to root, with `CAP_SYS_NICE`, or within `RLIMIT_RTPRIO` (sched(7)). A process with one core
    does not ask: a busy thread would keep everything else from running, such as the threads that write the records.
    """
    if len(os.sched_getaffinity(0)) == 1:
        return False
    priority = os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, priority)
    except PermissionError:
        return False
    return True


def is_permitted() -> bool:
    """True if the system permits the media clock's priority, the second lowest, to this process.

    A thread tries it and ends, so that no other thread gets it.
    """
    permitted = threading.Event()

    def attempt() -> None:
        priority = os.sched_param(os.sched_get_priority_min(os.SCHED_RR) + 1)
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, priority)
            permitted.set()

    thread = threading.Thread(target=attempt, name="priority-check")
    thread.start()
    thread.join()
    return permitted.is_set()
