"""The output of `sipbridge call`: the timeline of the call, and a fault if there is one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from sipbridge.config import load_config
from sipbridge.terminal import Style, show_progress

from .course import run_call
from .target import Given, Target, find_target
from .timeline import lines_of


def place_call(file: Path, given: Given) -> int:
    """Place the call, print its timeline, and return the exit code: 0 if nothing went wrong."""
    target = find_target(file, load_config(file), given)
    style = Style.of_output()
    _print_heading(target, style)
    show = show_progress()
    try:
        course = asyncio.run(run_call(target, show))
    finally:
        show("")
    for line in lines_of(course.steps, style):
        click.echo(line)
    if course.trouble:
        click.echo(f"\n{style.red}{style.bold}Fault:{style.plain} {course.trouble}")
        return 1
    verdict = "The call works." if course.agent_spoke else "The call works, but the agent said nothing."
    click.echo(f"\n{style.green}{style.bold}{verdict}{style.plain}")
    return 0


def _print_heading(target: Target, style: Style) -> None:
    address = f"{target.transport}://{target.host}:{target.port}"
    click.echo(f"{style.bold}A call to {target.number} at {address}{style.plain}\n")
    for line in (
        f"contact {target.contact_id}",
        *(["no API key in the file or in --key: the timeline has only SIP and audio"] if target.key is None else []),
    ):
        click.echo(f"{style.dim}{line}{style.plain}")
    click.echo("")
