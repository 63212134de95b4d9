"""The secrets of a project that the file holds as plain text: the bridge itself keeps only their hashes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sipbridge.config.document import read_document
from sipbridge.config.projects import ProjectKey
from sipbridge.config.source import resolve, select
from sipbridge.config.tokens import is_hash


@dataclass(frozen=True, slots=True)
class PlainSecrets:
    """The token and the first API key of a project; None for one that the file does not hold as plain text."""

    token: str | None
    api_key: str | None


def plain_secrets(path: Path, project: ProjectKey, environ: Mapping[str, str] = os.environ) -> PlainSecrets:
    """Read the secrets of a project from a valid file, for a program that acts as CXone or as a CRM."""
    tree = resolve(read_document(path).tree, path.absolute().parent, environ).tree

    def first(*keys: object) -> str | None:
        found = (value for _, value in select(tree, *project.path, *keys))
        return next((value for value in found if isinstance(value, str) and not is_hash(value)), None)

    return PlainSecrets(first("auth_token"), first("api_keys", ...))
