from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.harness.texts import texts_within

from .files import byoc, load, patron, with_channels, with_project

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


def test_no_secret_of_a_channel_or_a_webhook_is_shown(tmp_path: Path) -> None:
    box = {"client_id": "cxone", "client_secret": f"{PLAIN}-box"}
    webhook = {"url": f"https://bot.example.com/{PLAIN}-path", "secret": f"{PLAIN}-webhook"}
    channels = {"sms": byoc(box=box), "legacy": patron(access_key_secret=f"{PLAIN}-key")}
    config = load(tmp_path, with_channels({"default": "sms", "webhook": webhook}, **channels))
    assert PLAIN not in repr(config)
    assert f"{PLAIN}-" not in config.model_dump_json(
        exclude={"clients": {"acme": {"projects": {"bot": {"chat": {"webhook": {"url"}}}}}}}
    )
