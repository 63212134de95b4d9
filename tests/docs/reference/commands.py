"""The commands of `sipbridge`, as `--help` shows them."""

from __future__ import annotations

import click

from sipbridge.cli import cli


def page() -> str:
    """Return the page."""
    root = click.Context(cli, info_name="sipbridge", **cli.context_settings)
    parts = [f"```text\n{cli.get_help(root)}\n```\n"]
    for name in cli.list_commands(root):
        command = cli.commands[name]
        help_text = command.get_help(click.Context(command, info_name=name, parent=root))
        parts.append(f"## `sipbridge {name}`\n\n```text\n{help_text}\n```\n")
    return "# Commands\n\nThis page has the output of `sipbridge --help` for each command.\n\n" + "\n".join(parts)
