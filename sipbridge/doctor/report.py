"""The output of `sipbridge doctor`: one line per check, and a sum."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path

import click

from sipbridge.terminal import Style, show_progress

from .examination import examine
from .finding import Level


def print_findings(file: Path) -> int:
    """Examine a configuration and print the findings; return the exit code: 1 if there is a fault."""
    # The findings have the reasons; without a handler, Python would print warnings of the parts that are used.
    logging.getLogger("sipbridge").addHandler(logging.NullHandler())
    levels = asyncio.run(_print(file))
    faults, warnings = levels[Level.FAULT], levels[Level.WARNING]
    click.echo(f"\n{_count(faults, 'fault')}, {_count(warnings, 'warning')}")
    return 1 if faults else 0


async def _print(file: Path) -> Counter[Level]:
    style, show = Style.of_output(), show_progress()
    colours = {Level.OK: style.green, Level.WARNING: style.yellow, Level.FAULT: style.red}
    levels: Counter[Level] = Counter()
    try:
        async for finding in examine(file, show):
            show("")
            levels[finding.level] += 1
            level = f"{colours[finding.level]}{finding.level.value:8}{style.plain}"
            click.echo(f"{level}{style.bold}{finding.subject}{style.plain}: {finding.text}")
    finally:
        show("")
    return levels


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
