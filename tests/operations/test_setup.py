"""`make setup` in two processes at once."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from tests.harness.programs.program import Program

ROOT = Path(__file__).resolve().parents[2]


def test_a_second_setup_of_the_same_work_tree_waits(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    script = tmp_path / "config" / "setup"
    with script.open() as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = Program([sys.executable, script], tmp_path / "output")
        try:
            assert second.logged("make setup: waiting for the one that is at work in another process\n")
            assert second.is_running
        finally:
            second.kill()
    assert not (tmp_path / ".venv").exists()
