"""axe-core, which finds faults of pages for people who cannot see or use a mouse: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

import json

from tests.harness.peers import peer_file
from tests.harness.web.browser import Page

AXE = peer_file("axe_playwright_python/axe.min.js")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def axe(page: Page) -> list[str]:
    """Return the findings of axe-core in a page."""
    if not await page.run("'axe' in window"):
        await page.run(f"{AXE.read_text(encoding='utf-8')}; 0")
    options = json.dumps({"runOnly": _RULES})
    found = await page.run(f"axe.run(document, {options}).then(done => done.violations.map(v => JSON.stringify(v)))")
    return [str(each) for each in found]
