from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from sipbridge.config import agents, chat, chat_channels, handoff, models, projects, webhook
from sipbridge.config.fields import Section
from sipbridge.config.signal_template import CHAT_NAMES, NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SECTIONS = {
    found
    for module in (agents, chat, chat_channels, handoff, models, projects, webhook)
    for found in vars(module).values()
    if inspect.isclass(found) and issubclass(found, Section)
}


@pytest.mark.parametrize("key", sorted({key for section in SECTIONS for key in section.model_fields}))
def test_every_key_is_documented(key: str) -> None:
    assert f"`{key}`" in PAGE


@pytest.mark.parametrize("name", sorted(NAMES | CHAT_NAMES))
def test_every_name_of_a_template_is_documented(name: str) -> None:
    assert f"`{{{name}}}`" in PAGE
