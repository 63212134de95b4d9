"""PJSIP's errors in words of ours."""

from __future__ import annotations

import os
import re

import pjsua2 as pj

# PJ_ERRNO_START_SYS of pj/errno.h: from here on a status is an errno.
_SYSTEM = 120_000
_SYSTEM_END = 170_000


def errno_of(error: pj.Error) -> int | None:
    """Return the errno of an error of the system's, None for one of PJSIP's own."""
    return error.status - _SYSTEM if _SYSTEM <= error.status < _SYSTEM_END else None


def explain(error: pj.Error) -> str:
    """Say what failed: the system's words for its errors, PJSIP's for its own, without their symbols."""
    number = errno_of(error)
    return re.sub(r"\s*\(PJ[A-Z_0-9]+\)", "", str(error.reason)) if number is None else os.strerror(number).lower()
