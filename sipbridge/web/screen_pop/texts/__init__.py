"""The words of the page, in four languages, and the choice of one."""

from __future__ import annotations

from collections.abc import Mapping

from sipbridge.config import PageLanguage
from sipbridge.web.screen_pop.texts.english import ENGLISH
from sipbridge.web.screen_pop.texts.french import FRENCH
from sipbridge.web.screen_pop.texts.german import GERMAN
from sipbridge.web.screen_pop.texts.model import Texts
from sipbridge.web.screen_pop.texts.spanish import SPANISH

__all__ = ["TEXTS", "Texts", "words"]

TEXTS: Mapping[str, Texts] = {each.language: each for each in (ENGLISH, GERMAN, FRENCH, SPANISH)}


def words(language: PageLanguage | None, accept_language: str) -> Texts:
    """Return the words of the configured language; None is the browser's."""
    return TEXTS[language] if language else _negotiate(accept_language)


def _negotiate(accept_language: str) -> Texts:
    """Return the words of the language that a browser prefers (RFC 9110, 12.5.4); English if it wants none of them."""
    preferred = sorted((_weighted(each) for each in accept_language.split(",")), key=lambda each: each[1], reverse=True)
    return next((TEXTS[tag] for tag, weight in preferred if weight > 0 and tag in TEXTS), ENGLISH)


def _weighted(item: str) -> tuple[str, float]:
    """Return the primary language of one item of the header, and its weight."""
    tag, _, weight = item.partition(";")
    try:
        return tag.strip().partition("-")[0].lower(), float(weight.strip().removeprefix("q=")) if weight else 1.0
    except ValueError:
        return "", 0.0
