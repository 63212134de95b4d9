"""The Python that runs a benchmark and its bridge, as the reports print it."""

from __future__ import annotations

import platform

from sipbridge.doctor.machine import is_python_optimised


def python_build() -> str:
    """Return its version, and if it is optimised: the figures of two builds differ by an eighth."""
    return f"Python {platform.python_version()}, {'' if is_python_optimised() else 'not '}optimised"
