"""The sources of the native layer that include nothing of PJSIP, directly or through a header.

They can be compiled and checked without PJSIP. `python -m tests.native.pure` prints their paths, for `make lint`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

NATIVE = Path(__file__).parents[2] / "sipbridge" / "sip" / "native"
INCLUDE = re.compile(r'^#include (?:"(?P<own>[^"]+)"|<(?P<other>[^>]+)>)', re.MULTILINE)


def pure_sources() -> list[Path]:
    """Return the sources that need no header of PJSIP."""
    return [source for source in sorted(NATIVE.glob("*.cpp")) if not _includes_pjsip(source, set())]


def _includes_pjsip(file: Path, seen: set[Path]) -> bool:
    seen.add(file)
    for include in INCLUDE.finditer(file.read_text(encoding="utf-8")):
        if include["other"] and include["other"].startswith("pj"):
            return True
        if include["own"] and (own := NATIVE / include["own"]) not in seen and _includes_pjsip(own, seen):
            return True
    return False


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(str, pure_sources())) + "\n")
