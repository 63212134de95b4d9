"""The command `sipbridge doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from sipbridge.command_line import reads_config


@click.command()
@reads_config
def doctor(file: Path) -> int:
    """Find what keeps a bridge from working, and say what to do about it.

    Checks the file, this machine, ports, certificates, names, CXone and agents. Prints one line per check: ok, warning
    or fault. The exit code is 1 if there is a fault.
    """
    from .report import print_findings  # noqa: PLC0415 (it imports most of the bridge)

    return print_findings(file)
