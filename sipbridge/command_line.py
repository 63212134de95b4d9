"""The arguments that several commands have: the configuration file, and a token."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

import click

ConfigPath = click.Path(path_type=Path)
# Instead of a secret, which the users of the machine would see among the arguments.
STANDARD_INPUT = "-"

P = ParamSpec("P")
R = TypeVar("R")


def reads_config(command: Callable[Concatenate[Path, P], R]) -> Callable[P, R]:
    """Give a command the configuration file as FILE or as `--config FILE`, exactly one of the two."""

    @wraps(command)
    def with_file(*args: P.args, **options: P.kwargs) -> R:
        named, by_option = options.pop("file"), options.pop("config")
        if (named is None) == (by_option is None):
            raise click.UsageError("Give the configuration once: FILE or --config FILE.")
        return command(cast("Path", named or by_option), *args, **options)

    with_file = click.option("--config", type=ConfigPath, metavar="FILE", help="The configuration file.")(with_file)
    return click.argument("file", type=ConfigPath, required=False)(with_file)


def read_token() -> str:
    """Read a line of standard input. At a terminal, ask for it and do not show it."""
    if sys.stdin.isatty():
        return str(click.prompt("Token", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
