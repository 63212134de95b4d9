"""PJSIP's errors in words of ours."""

from __future__ import annotations

import errno
import os
import re

import pjsua2 as pj

# PJ_ERRNO_START_SYS of pj/errno.h: from here on a status is an errno.
_SYSTEM = 120_000
_SYSTEM_END = 170_000
_WORDS = {
    errno.EADDRINUSE: "the address is in use; free it, or name another",
    errno.EADDRNOTAVAIL: "it is no address of this machine; name one of its own, or 0.0.0.0",
    errno.EACCES: "this user may not open the port; name one over 1023",
    errno.ECONNREFUSED: "the connection was refused",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.EMFILE: "no file descriptor is left",
}


def explain(error: pj.Error) -> str:
    """Say what failed: our words for the system's errors, PJSIP's for its own, without their symbols."""
    number = error.status - _SYSTEM
    if _SYSTEM <= error.status < _SYSTEM_END:
        return _WORDS.get(number) or os.strerror(number).lower()
    return re.sub(r"\s*\(PJ[A-Z_0-9]+\)", "", str(error.reason))
