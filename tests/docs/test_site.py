"""The site that `make docs` builds, in a browser."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.docs.__main__ import stage
from tests.docs.site_links import broken_links
from tests.docs.staging import DOCS, ROOT
from tests.harness.web.browser import opened_page

MKDOCS = ROOT / ".venv" / "docs" / "bin" / "mkdocs"  # make test and make docs install it
# Material draws into a closed shadow root, so only the size of the element shows that it has a picture.
DIAGRAM = "document.querySelector('div.mermaid')"

pytestmark = [pytest.mark.program, pytest.mark.timeout(180)]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    stage(folder / "docs")
    settings = {
        "INHERIT": f"{ROOT}/config/mkdocs.yml",
        "theme": {"custom_dir": f"{ROOT}/tests/docs/theme"},
        "docs_dir": "docs",
        "site_dir": "site",
    }
    (folder / "mkdocs.yml").write_text(json.dumps(settings))
    command: list[str | Path] = [MKDOCS, "--quiet", "build", "--strict", "--config-file", folder / "mkdocs.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_link_of_the_site_has_a_target(site: Path) -> None:
    assert list(broken_links(site)) == []


def test_only_pages_with_a_diagram_load_the_script_that_draws_it(site: Path) -> None:
    with_script = {path.stem for path in site.glob("*.html") if "mermaid.min.js" in path.read_text()}
    with_diagram = {path.stem for path in DOCS.glob("*.md") if "```mermaid" in path.read_text()}
    assert with_script == {"index", *with_diagram}


async def test_diagrams_are_drawn_without_the_network(url: str, tmp_path: Path) -> None:
    async with opened_page(f"{url}/architecture.html", tmp_path) as page:
        await page.until(f"{DIAGRAM} && {DIAGRAM}.clientHeight > 100", 60)
        await page.screenshot("docs-architecture")
        loaded = await page.run("performance.getEntriesByType('resource').map(each => each.name)")
        assert [name for name in loaded if not name.startswith(url)] == []
        assert page.faults == []


async def test_the_search_finds_a_page(url: str, tmp_path: Path) -> None:
    async with opened_page(f"{url}/index.html", tmp_path) as page:
        ready = "document.querySelector('.md-search-result__meta').textContent.includes('Type to start')"
        await page.until(f"document.querySelector('.md-search__input').focus(), {ready}", 60)
        await page.type("glossary")
        await page.until("document.querySelector('.md-search-result__link[href*=\"glossary.html\"]')")
