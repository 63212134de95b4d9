"""Configuration files for these tests, written to disk and read like those of a user."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipbridge.config import ChatConfig, Config, load_config
from sipbridge.errors import ConfigError

_CXONE = {
    "client_id": "app",
    "client_secret": "app-secret",
    "access_key_id": "key",
    "access_key_secret": "key-secret",
}


def project(**changes: object) -> dict[str, Any]:
    """The smallest possible project, with changes."""
    return {
        "auth_token": "token-of-billing",
        "agent": {"type": "prompt"},
        "handoff": {"default": "care", "destinations": {"care": {"method": "release"}}},
        **changes,
    }


def client(**changes: object) -> dict[str, Any]:
    """The smallest possible client, with changes."""
    return {
        "pseudo_numbers": ["+19995550001"],
        "cxone": copy.deepcopy(_CXONE),
        "projects": {"billing": project()},
        **changes,
    }


def tree(**changes: object) -> dict[str, Any]:
    """The smallest possible configuration, with changes."""
    return {"clients": {"acme": client()}, **changes}


def with_project(**changes: object) -> dict[str, Any]:
    """The smallest configuration, with changes to its project."""
    return tree(clients={"acme": client(projects={"billing": project(**changes)})})


def with_handoff(**changes: object) -> dict[str, Any]:
    """The smallest configuration, with changes to its handoff."""
    return with_project(handoff={"default": "care", "destinations": {"care": {"method": "release"}}, **changes})


def dfo(**changes: object) -> dict[str, Any]:
    """The smallest channel of the chat gateway, with changes."""
    return {"type": "dfo", "brand_id": 1234, "channel_id": "chat_1", "environment": "NA1", **changes}


def byoc(**changes: object) -> dict[str, Any]:
    """The smallest bring-your-own channel, with changes."""
    box = {"client_id": "cxone", "client_secret": "secret-of-the-sms-box"}
    return {"type": "byoc", "channel_id": "sms-1", "box": box, **changes}


def patron(**changes: object) -> dict[str, Any]:
    """The smallest point of contact of the patron chat API, with changes."""
    poc_url = "https://home-c29.nice-incontact.com/incontact/chatclient/chatclient.aspx?poc=123&bu=456"
    return {"type": "patron", "poc_url": poc_url, "access_key_id": "key", "access_key_secret": "key-secret", **changes}


def with_channels(chat: Mapping[str, object] | None = None, /, **channels: object) -> dict[str, Any]:
    """A client whose one project has no voice agent but these channels, and the other keys of `chat`."""
    acme = client(projects={"bot": {"chat": {"channels": channels, **(chat or {})}}})
    del acme["pseudo_numbers"]
    return tree(clients={"acme": acme})


def with_chat(**changes: object) -> dict[str, Any]:
    """The smallest configuration for chats, with changes to its `chat` section."""
    return with_channels(changes, web=dfo())


def load(folder: Path, content: object, environ: Mapping[str, str] | None = None) -> Config:
    """Write the content, as YAML text or as a tree, and load it."""
    file = folder / "bridge.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_config(file, environ or {})


def chat_of(folder: Path, content: object) -> ChatConfig:
    """Load the content of `with_channels` or `with_chat`, and return its `chat` section."""
    chat = load(folder, content).clients["acme"].projects["bot"].chat
    assert chat is not None
    return chat


def config_problems(folder: Path, content: object, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the problems of an invalid file, without the file name and the line numbers."""
    with pytest.raises(ConfigError) as caught:
        load(folder, content, environ)
    for problem in caught.value.problems:
        assert "\n" not in problem
        assert problem.startswith(f"{folder / 'bridge.yaml'}:")
    place = re.compile(re.escape(f"{folder / 'bridge.yaml'}:") + r"(?:[0-9]+:(?= ))? ?")
    return [place.sub("", problem, count=1) for problem in caught.value.problems]
