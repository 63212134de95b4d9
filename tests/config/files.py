"""Configuration files for the tests of this folder, written to disk and read as a user's are."""

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
    """The smallest project there is, with changes."""
    return {
        "auth_token": "token-of-billing",
        "agent": {"type": "prompt"},
        "handoff": {"default": "care", "destinations": {"care": {"method": "release"}}},
        **changes,
    }


def client(**changes: object) -> dict[str, Any]:
    """The smallest client there is, with changes."""
    return {
        "pseudo_numbers": ["+19995550001"],
        "cxone": copy.deepcopy(_CXONE),
        "projects": {"billing": project()},
        **changes,
    }


def tree(**changes: object) -> dict[str, Any]:
    """The smallest configuration there is, with changes."""
    return {"clients": {"acme": client()}, **changes}


def with_project(**changes: object) -> dict[str, Any]:
    """The smallest configuration, with changes to its project."""
    return tree(clients={"acme": client(projects={"billing": project(**changes)})})


def with_handoff(**changes: object) -> dict[str, Any]:
    """The smallest configuration, with changes to its handoff."""
    return with_project(handoff={"default": "care", "destinations": {"care": {"method": "release"}}, **changes})


def load(folder: Path, content: object, environ: Mapping[str, str] | None = None) -> Config:
    """Write the content, YAML text or what it stands for, and load it."""
    file = folder / "bridge.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_config(file, environ or {})


def faults(folder: Path, content: object, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems of a bad file, without the name of the file and the line number."""
    with pytest.raises(ConfigError) as caught:
        load(folder, content, environ)
    for problem in caught.value.problems:
        assert "\n" not in problem
        assert problem.startswith(f"{folder / 'bridge.yaml'}:")
    place = re.compile(re.escape(f"{folder / 'bridge.yaml'}:") + r"(?:[0-9]+:(?= ))? ?")
    return [place.sub("", problem, count=1) for problem in caught.value.problems]
