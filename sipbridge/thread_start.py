"""The first steps of each new thread of Python: it takes its name in the kernel, and any core."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path


def prepare() -> None:
    """Have each thread that starts from now on prepare itself.

    Its Python name becomes that in the kernel, so that `top -H`, `ps -L` and /proc show which thread does what; Python
    does that itself from 3.14 on. And it may use the cores that this thread may use now: it would inherit the one that
    the event loop has then (shared_core.py), and pass it on to the programs that it starts.
    """
    # Python's only hook that runs in each new thread, executors' and the library's own included.
    threading.setprofile(partial(_first, os.sched_getaffinity(0)))


def _first(cores: set[int], *_: object) -> None:
    """Act as the thread's profile function for its first event only. The kernel keeps 15 bytes of a name."""
    sys.setprofile(None)
    with suppress(OSError):
        os.sched_setaffinity(0, cores)
    if sys.version_info < (3, 14):
        with suppress(OSError):
            Path("/proc/thread-self/comm").write_bytes(threading.current_thread().name.encode())
