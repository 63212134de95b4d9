"""axe-core, which finds faults of pages for people who cannot see or use a mouse: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

from pathlib import Path

_PEERS = Path(__file__).resolve().parents[2] / ".venv" / "peers"
# The script in the environment of the peers (config/locks/peers.in).
AXE = next(_PEERS.glob("lib/python*/site-packages/axe_playwright_python/axe.min.js"), _PEERS / "axe.min.js")
