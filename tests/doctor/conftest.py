from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sipbridge.cli import main
from sipbridge.config import Config, load_config
from sipbridge.dns import Resolver

MakeConfig = Callable[..., Config]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration that `sipbridge init` writes."""
    assert main(["init", str(tmp_path / "bridge.yaml")]) == 0
    return tmp_path / "bridge.yaml"


@pytest.fixture
def make_config(file: Path) -> MakeConfig:
    """Load that file with changed parts, each given as the old text and the new one."""

    def make(*changes: tuple[str, str]) -> Config:
        text = file.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text)
        return load_config(file)

    return make


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    resolver = Resolver(lambda: 0.0)
    yield resolver
    await resolver.close()
