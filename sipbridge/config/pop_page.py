"""`http.pop_page`: the screen-pop page as the operator wants it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sipbridge.config.fields import Line, Name, Section
from sipbridge.config.pictures import PictureFile

PageLanguage = Literal["en", "de", "fr", "es"]


class PopPageConfig(Section):
    """The title of the page, its logo and language, and the labels of the agent's data, in the order of the page.

    `language` None is that of the browser. A label None is the name of the field. Other fields follow in the agent's
    order.
    """

    title: Annotated[Line, StringConstraints(max_length=64)] = ""
    logo: PictureFile | None = None
    language: PageLanguage | None = None
    fields: dict[Name, Name | None] = Field(default_factory=dict)
