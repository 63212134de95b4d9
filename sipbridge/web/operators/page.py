"""The page for operators as HTML. It has no data: its script asks the API for it, with the key that is typed in."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sipbridge import __version__
from sipbridge.web.html.assets import Asset, by_plain_name, load_assets
from sipbridge.web.html.environment import make_environment


@cache
def assets() -> dict[str, Asset]:
    """Return the files that the page loads, by their names with the digest."""
    return load_assets(Path(__file__).with_name("static"))


@cache
def render_page(base: str) -> str:
    """Return the page. `base` is the path of the operations for admin, relative to that of the page."""
    page: str = (
        make_environment("sipbridge.web.operators")
        .get_template("page.html")
        .render(
            heading="Operations",
            title="sipbridge",
            language="en",
            version=__version__,
            base=base,
            assets=f"{base}asset-",
            files=by_plain_name(assets()),
        )
    )
    return page
