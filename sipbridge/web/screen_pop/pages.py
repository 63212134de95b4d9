"""The pages of screen-pops as HTML, and the files that they load."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from sipbridge.config import Picture, PopPageConfig
from sipbridge.web.screen_pop.texts import Texts
from sipbridge.web.screen_pop.view import View

MAX_SHOWN = 100  # messages, unless all are asked for

_STATIC = Path(__file__).with_name("static")
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}

Problem = Literal["expired", "invalid", "erased", "unavailable"]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that a page loads. Its name has a digest of its content, so that browsers may keep it."""

    name: str
    media_type: str
    content: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return the files that pages load, by their names with the digest."""
    found = [_asset(path.stem, path.suffix, path.read_bytes()) for path in sorted(_STATIC.iterdir())]
    return {each.name: each for each in found}


def find_asset(name: str, config: PopPageConfig) -> Asset | None:
    """Return the file of this name; None if there is none."""
    logo = _logo(config.logo)
    return logo if logo and logo.name == name else assets().get(name)


@lru_cache(maxsize=2)
def _logo(picture: Picture | None) -> Asset | None:
    if picture is None:
        return None
    suffix = next(suffix for suffix, media_type in _MEDIA_TYPES.items() if media_type == picture.media_type)
    return _asset("logo", suffix, picture.content)


def _asset(stem: str, suffix: str, content: bytes) -> Asset:
    digest = hashlib.blake2b(content, digest_size=6).hexdigest()
    return Asset(f"{stem}-{digest}{suffix}", _MEDIA_TYPES[suffix], content)


@cache
def _names() -> dict[str, str]:
    """The names of the files with the digest, by those without."""
    return {each.partition("-")[0] + Path(each).suffix: each for each in assets()}


def render_page(
    view: View, config: PopPageConfig, texts: Texts, *, base: str, token: str, now: datetime, whole: bool
) -> str:
    """Return the page of a call or chat. `base` is the path of pop links. `whole` shows all messages."""
    hidden = 0 if whole else max(0, len(view.messages) - MAX_SHOWN)
    page: str = _template("page.html").render(
        view=view,
        t=texts,
        title=config.title or texts.title,
        base=base,
        token=token,
        now=now,
        hidden=hidden,
        files=_names(),
        logo=_logo(config.logo),
    )
    return page


def render_problem(problem: Problem, config: PopPageConfig, texts: Texts, *, base: str) -> str:
    """Return the page that says why there is nothing to show, and what to do."""
    page: str = _template("problem.html").render(
        heading=getattr(texts, problem),
        text=getattr(texts, f"{problem}_help"),
        t=texts,
        title=config.title or texts.title,
        base=base,
        files=_names(),
        logo=_logo(config.logo),
    )
    return page


@cache
def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sipbridge.web.screen_pop"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    environment.filters["utc"] = lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    environment.filters["hour"] = lambda moment: f"{moment:%H:%M}"
    return environment


def clock(seconds: float) -> str:
    """Return a duration as `0:42` or `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
