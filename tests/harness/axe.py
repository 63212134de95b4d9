"""axe-core, which finds faults of pages for people who cannot see or use a mouse: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness.web.browser import Page

_PEERS = Path(__file__).resolve().parents[2] / ".venv" / "peers"
# The script in the environment of the peers (config/locks/peers.in).
AXE = next(_PEERS.glob("lib/python*/site-packages/axe_playwright_python/axe.min.js"), _PEERS / "axe.min.js")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def axe(page: Page) -> list[str]:
    """Return the findings of axe-core in a page."""
    if not await page.run("'axe' in window"):
        await page.run(f"{AXE.read_text(encoding='utf-8')}; 0")
    options = json.dumps({"runOnly": _RULES})
    found = await page.run(f"axe.run(document, {options}).then(done => done.violations.map(v => JSON.stringify(v)))")
    return [str(each) for each in found]
