"""The templates of pages. They escape each value, and fail on a name that they were not given."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def make_environment(package: str) -> Environment:
    """Return the templates of a package, with those that all pages share."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("sipbridge.web.html")]),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
