"""The pages of screen-pops as HTML, and the files that they load."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, Template

from sipbridge.config import Picture, PopPageConfig
from sipbridge.web.html.assets import MEDIA_TYPES, Asset, by_plain_name, load_assets, make_asset
from sipbridge.web.html.environment import make_environment
from sipbridge.web.screen_pop.texts import Texts
from sipbridge.web.screen_pop.view import View

MAX_SHOWN = 100  # messages, unless all are asked for

Problem = Literal["expired", "invalid", "erased", "unavailable"]


@cache
def assets() -> dict[str, Asset]:
    """Return the files that pages load, by their names with the digest."""
    return load_assets(Path(__file__).with_name("static"))


def find_asset(name: str, config: PopPageConfig) -> Asset | None:
    """Return the file of this name; None if there is none."""
    logo = _logo(config.logo)
    return logo if logo and logo.name == name else assets().get(name)


@lru_cache(maxsize=2)
def _logo(picture: Picture | None) -> Asset | None:
    if picture is None:
        return None
    suffix = next(suffix for suffix, media_type in MEDIA_TYPES.items() if media_type == picture.media_type)
    return make_asset("logo", suffix, picture.content)


@cache
def _names() -> Mapping[str, str]:
    """The names of the files with the digest, by those without."""
    return by_plain_name(assets())


def render_page(
    view: View, config: PopPageConfig, texts: Texts, *, base: str, token: str, now: datetime, whole: bool
) -> str:
    """Return the page of a call or chat. `base` is the path of pop links. `whole` shows all messages."""
    hidden = 0 if whole else max(0, len(view.messages) - MAX_SHOWN)
    page: str = _template("page.html").render(
        view=view,
        t=texts,
        title=config.title or texts.title,
        language=texts.language,
        base=base,
        assets=f"{base}/assets/",
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
        language=texts.language,
        assets=f"{base}/assets/",
        files=_names(),
        logo=_logo(config.logo),
    )
    return page


@cache
def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = make_environment("sipbridge.web.screen_pop")
    environment.filters["clock"] = clock
    environment.filters["utc"] = lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    environment.filters["hour"] = lambda moment: f"{moment:%H:%M}"
    return environment


def clock(seconds: float) -> str:
    """Return a duration as `0:42` or `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
