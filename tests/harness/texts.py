"""The texts that an object references, for tests that check for secrets."""

from __future__ import annotations

import gc
import inspect


def texts_within(root: object) -> set[str]:
    """Return every text that is reachable from an object, except through code."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type) or inspect.ismodule(found) or inspect.isroutine(found):
            continue
        seen[id(found)] = found
        waiting.extend(gc.get_referents(found))
    return {found for found in seen.values() if isinstance(found, str)}
