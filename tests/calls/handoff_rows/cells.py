"""How values of the code are written in the cells of a table."""

from __future__ import annotations

from collections.abc import Iterable

from sipbridge.handoffs.outcome import Outcome

TIMES = "\N{MULTIPLICATION SIGN}"


def code(value: str) -> str:
    return f"`{value}`"


def reasons(outcomes: Iterable[Outcome]) -> str:
    return ", ".join(code(outcome.reason) for outcome in outcomes)
