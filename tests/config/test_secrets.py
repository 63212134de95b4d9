from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.harness.texts import texts_within

from .files import load, with_project

PLAIN = "a-secret-of-nobody-else"


def test_no_token_or_key_is_kept_in_plain_text(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"auth_token": f"{PLAIN}-token", "api_keys": ["${KEY}", f"file:{tmp_path / 'key'}"]}
    (tmp_path / "key").write_text(f"{PLAIN}-in-a-file\n")
    settings = with_project(**changes)
    settings["http"] = {"admin": {"keys": [f"{PLAIN}-admin"]}}
    config = load(tmp_path, settings, {"KEY": f"{PLAIN}-in-a-variable"})
    kept = texts_within(config)
    assert "care" in kept
    assert not [text for text in kept if PLAIN in text]
    assert PLAIN not in repr(config) + config.model_dump_json()
