"""The programs of others that tests run, in their own environment: `.venv/peers` (config/locks/peers.in)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PEERS = Path(__file__).resolve().parents[2] / ".venv" / "peers"


def need(peer: str, *, installed: bool) -> None:
    """Skip a test if its peer could not be installed; continuous integration has all peers."""
    if installed:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{peer} is not installed, and no test is skipped in CI: run make setup and read its output")
    pytest.skip(f"{peer} is not installed; make setup installs it if it can")


def peer_file(pattern: str) -> Path:
    """Return the file of an installed package that a pattern below `site-packages` names, or a path without a file."""
    return next(PEERS.glob(f"lib/python*/site-packages/{pattern}"), PEERS / pattern)
