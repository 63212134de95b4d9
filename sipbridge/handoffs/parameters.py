"""The placeholders that the templates of calls and chats share, and the filling in of templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sipbridge.config import SignalTemplate
from sipbridge.handoffs.json_values import to_text


def placeholders(templates: Iterable[SignalTemplate]) -> frozenset[str]:
    """Return the names that occur in these templates."""
    return frozenset(name for template in templates for name in template.names)


def handoff_values(
    used: frozenset[str],
    *,
    destination: str = "",
    skill: str = "",
    reason: str = "",
    utterance: str = "",
    data: Mapping[str, Any],
) -> dict[str, str]:
    """Return the values of the placeholders that describe a handoff. `data` is written as text only where `used`."""
    return {
        "destination": destination,
        "skill": skill,
        "reason": reason,
        "utterance": utterance,
        "data_json": to_text(data) if data and "data_json" in used else "",
        **{f"data.{name}": to_text(value) for name, value in data.items() if f"data.{name}" in used},
    }


def fill_in(
    templates: Iterable[tuple[str, SignalTemplate]], values: Mapping[str, str], own: Iterable[tuple[str, str]] = ()
) -> dict[str, str]:
    """Return the parameters in order: P2 comes before P10. The agent's `own` win; empty ones are left out."""
    filled = {name: template.render(values) for name, template in templates} | dict(own)
    return {name: filled[name] for name in sorted(filled, key=_in_order) if filled[name]}


@lru_cache(maxsize=1024)  # more than the names of most configurations
def _in_order(name: str) -> tuple[tuple[int, str], ...]:
    """Return the key by which names are sorted: numbers in them by their value."""
    return tuple((len(part), part) if part.isdigit() else (0, part) for part in re.split("([0-9]+)", name))
