"""The example bot as a program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .bridge import SIPBRIDGE, Project
from .program import Program


class Bot:
    """A running bot; `url` is that of its page."""

    def __init__(self, program: Program, url: str) -> None:
        self.program = program
        self.url = url


@contextmanager
def bot(project: Project, folder: Path, *, listen: str = "127.0.0.1:0") -> Iterator[Bot]:
    """Run a bot that hands off to a project; its log is in the folder."""
    bridge, _, path = project.url.partition("/v1/")
    client, name = path.split("/")
    options = ("--bridge", bridge, "--client", client, "--project", name, "--key", project.key)
    with Program([SIPBRIDGE, "bot", "--listen", listen, *options], folder / "bot.log") as program:
        yield Bot(program, program.line_with("Running on").split()[3])
