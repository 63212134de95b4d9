"""The names of Python's threads for the kernel, so that `top -H`, `ps -L` and /proc show which thread does what."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path


def pass_to_kernel() -> None:
    """Give each thread that starts from now on its Python name in the kernel, as Python does itself from 3.14 on."""
    if sys.version_info < (3, 14):
        # Python's only hook that runs in each new thread, executors' and the library's own included.
        threading.setprofile(_name_this_thread)


def _name_this_thread(*_: object) -> None:
    """Act as the thread's profile function for its first event only. The kernel keeps 15 bytes of a name."""
    sys.setprofile(None)
    with suppress(OSError):
        Path("/proc/thread-self/comm").write_bytes(threading.current_thread().name.encode())
