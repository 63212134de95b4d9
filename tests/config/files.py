"""Configuration files for these tests, written to disk and read like those of a user."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipbridge.config import Config, load_config
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


def load(folder: Path, content: object, environ: Mapping[str, str] | None = None) -> Config:
    """Write the content, as YAML text or as a tree, and load it."""
    file = folder / "bridge.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_config(file, environ or {})


def config_problems(folder: Path, content: object, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the problems of an invalid file, without the file name and the line numbers."""
    with pytest.raises(ConfigError) as caught:
        load(folder, content, environ)
    for problem in caught.value.problems:
        assert "\n" not in problem
        assert problem.startswith(f"{folder / 'bridge.yaml'}:")
    place = re.compile(re.escape(f"{folder / 'bridge.yaml'}:") + r"(?:[0-9]+:(?= ))? ?")
    return [place.sub("", problem, count=1) for problem in caught.value.problems]
