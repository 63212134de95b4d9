"""Follow docs/tutorial.md word for word, as a newcomer does: `python -m tests.docs.walk`.

Each terminal of the page is a shell in the clone, and the home folder is a new one. The commands run as they are
written, files are written as they are shown, and terminals must show what the page says. The exit code is 1 otherwise.
It needs the standard library only, since on a new machine nothing else is installed before the page's first command.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.blocks import Block, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
MOST_SECONDS = 600  # for the whole page, PJSIP's build included
BROWSER = "Browser"  # the title of what the screen-pop shows
_POLL_SECONDS = 0.05
_POP_LINK = re.compile(r"http://\S+/pop/\S+")


class WalkError(Exception):
    """The page does not say what happens."""


class Terminal:
    """A shell in the clone that gets the commands of the page. `text` is all that it shows.

    What takes longer than `seconds` is a failure.
    """

    def __init__(self, name: str, home: Path, seconds: float) -> None:
        self.text = ""
        self._seconds = seconds
        self._name = name
        self._blocks = 0
        self._begin = 0
        self._shell = subprocess.Popen(
            ["/bin/bash", "-e"],
            cwd=ROOT,
            env={**os.environ, "HOME": str(home), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def enter(self, commands: str) -> None:
        """Enter commands, once those before have ended."""
        self.finish()
        self._blocks += 1
        self._begin = len(self.text)
        assert self._shell.stdin is not None
        # One group, so that no command reads the lines after it.
        self._shell.stdin.write(f"{{\n{commands}}} </dev/null\necho {self._end}\n")
        self._shell.stdin.flush()

    def finish(self) -> None:
        """Wait until the commands have ended."""
        self.wait(self._is_done, lambda: "its commands did not end")

    def wait(self, condition: Callable[[], bool], problem: Callable[[], str]) -> None:
        """Wait for a condition. Raises `WalkError` if a command fails before that, or if it takes too long."""
        deadline = time.monotonic() + self._seconds
        while not condition():
            if self._shell.poll() is not None:
                self._reader.join()
                raise WalkError(f"{self._name}: a command failed\n{self.shown}")
            if time.monotonic() > deadline or (self._is_done() and not condition()):
                raise WalkError(f"{self._name}: {problem()}\n{self.shown}")
            time.sleep(_POLL_SECONDS)

    @property
    def shown(self) -> str:
        """The lines that it shows since the last commands were entered."""
        return self.text[self._begin :]

    @property
    def _end(self) -> str:
        return f"--- end of the commands {self._blocks} ---"

    def _is_done(self) -> bool:
        return not self._blocks or self._end in self.text

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self.text += line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.wait(timeout=60)
        self._reader.join()


def walk(page: list[Block], home: Path, seconds: float) -> None:
    """Follow a page. Raises `WalkError` if it does not say what happens."""
    terminals: dict[str, Terminal] = {}
    start = time.monotonic()
    with ExitStack() as stack:
        for block, following in zip(page, [*page[1:], None], strict=True):
            match block.language:
                case "sh":
                    if block.title not in terminals:
                        terminals[block.title] = stack.enter_context(Terminal(block.title, home, seconds))
                    _say(start, f"{block.title}: {block.text.splitlines()[-1]}")
                    terminals[block.title].enter(block.text)
                    if following is None or (following.language, following.title) != ("text", block.title):
                        terminals[block.title].finish()
                case "text" if block.title == BROWSER:
                    _say(start, "the link to the screen-pop is opened")
                    _check_screen_pop(block, "".join(terminal.shown for terminal in terminals.values()))
                case "text":
                    _check(terminals[block.title], block)
                case _:
                    _say(start, f"{block.title} is written")
                    Path(block.title.replace("~", str(home), 1)).write_text(block.text, encoding="utf-8")
    took = time.monotonic() - start
    _say(start, "the end of the page")
    if took > seconds:
        raise WalkError(f"it took {took:.0f} s, and may take {seconds:g}")


def _check(terminal: Terminal, block: Block) -> None:
    """Wait until a terminal shows a block."""
    terminal.wait(
        lambda: not block.missing(terminal.shown),
        lambda: f"does not show these lines of the page: {block.missing(terminal.shown)}",
    )


def _check_screen_pop(block: Block, shown: str) -> None:
    """Open the link that the terminals show. The page must have the lines of a block."""
    found = _POP_LINK.search(shown)
    if found is None:
        raise WalkError(f"no terminal shows a link to a screen-pop:\n{shown}")
    request = urllib.request.Request(found[0], headers={"Accept": "text/html"})  # noqa: S310 (of the bridge on this machine)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 (the same)
            text = re.sub(r"<[^>]+>", "\n", response.read().decode())
    except OSError as error:
        raise WalkError(f"{found[0]}: {error}") from None
    if missing := block.missing(text):
        raise WalkError(f"the screen-pop does not show {missing}:\n{text}")


def _say(start: float, text: str) -> None:
    sys.stdout.write(f"{time.monotonic() - start:7.1f}  {text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Follow docs/tutorial.md word for word.")
    parser.add_argument("--page", type=Path, default=PAGE, help="another page")
    parser.add_argument("--ready", action="store_true", help="leave out `make demo`, which sets the clone up")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="the most time that it may take")
    arguments = parser.parse_args()
    page = blocks(arguments.page)
    if arguments.ready:
        page = page[next(number for number, block in enumerate(page) if "activate" in block.text) :]
    with tempfile.TemporaryDirectory() as home:
        try:
            walk(page, Path(home), arguments.seconds)
        except WalkError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
