"""The checks of this machine, for the user who runs them: Python, PJSIP, limits, priority, and the clock."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import resource
import sys
import sysconfig
from collections.abc import Iterator

from sipbridge import file_descriptors, thread_priority
from sipbridge.config import Config, descriptors_of_chats, descriptors_per_call

from .finding import Finding, fault, ok, warning

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES = 512  # more than struct timex has


def check_machine(config: Config) -> Iterator[Finding]:
    """Check all that the bridge needs of the machine."""
    yield _python()
    yield _pjsip()
    yield _open_files(config)
    yield _priority()
    yield _clock()


def _python() -> Finding:
    version = platform.python_version()
    if not is_python_optimised():
        return warning(
            "Python",
            f"{version} was built without optimisation by a profile, so each call takes an eighth more processor time; "
            "use the system's, or build it with --enable-optimizations",
        )
    return ok("Python", f"{version}, optimised")


def _pjsip() -> Finding:
    if not has_pjsip():
        return fault("PJSIP", "its Python module is not installed; run `make setup`, or install the release's wheel")
    return ok("PJSIP", "installed")


def _open_files(config: Config) -> Finding:
    shortage = file_descriptors.shortage(
        config.sip.max_calls, descriptors_per_call(config), descriptors_of_chats(config)
    )
    if shortage is not None:
        return warning("open files", shortage.partition(": ")[2])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ok("open files", f"the limit of {hard} carries sip.max_calls, {config.sip.max_calls}")


def _priority() -> Finding:
    cores = len(os.sched_getaffinity(0))
    if not thread_priority.is_permitted():
        return warning(
            "priority",
            "this user may not have real-time priority, so other programs can delay audio; "
            "set LimitRTPRIO=2 in the unit, or rtprio 2 in /etc/security/limits.conf",
        )
    if cores == 1:
        return warning(
            "priority", "of one core only the media clock takes real-time priority; give the bridge a second"
        )
    return ok("priority", f"this user may have real-time priority, on {cores} cores")


def _clock() -> Finding:
    state = clock_state()
    if state < 0:
        return ok("clock", "the system does not say if a time service keeps it")
    if state == _TIME_ERROR:
        return warning(
            "clock", "no time service keeps it, and tokens and records depend on it; run chrony or systemd-timesyncd"
        )
    return ok("clock", "kept by a time service")


def clock_state() -> int:
    """Ask the kernel for the state of the clock (adjtimex(2), which needs no privilege to read)."""
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))


def is_python_optimised() -> bool:
    """True if Python was compiled with a profile of its own use, as distributions do.

    They do it by a target of make, so the options of configure say it of other builds only.
    """
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return sys.base_prefix == "/usr" or "--enable-optimizations" in options


def has_pjsip() -> bool:
    """True if PJSIP's Python module is installed."""
    return importlib.util.find_spec("sipbridge_pjsip") is not None
