"""The command lines in files for deployment."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sipbridge.cli import cli


def check_command_line(arguments: Sequence[str]) -> None:
    """Raise `click.UsageError` if `sipbridge` has no such command, or the command no such option."""
    command, *options = arguments
    # A command without the group around it would keep the group's settings, such as -h, from other tests.
    group = click.Context(cli, info_name="sipbridge", **cli.context_settings)
    cli.commands[command].make_context(command, options, parent=group)
