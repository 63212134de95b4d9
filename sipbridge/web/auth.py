"""Whose key a request shows."""

from __future__ import annotations

from collections.abc import Iterable

from sipbridge.config import ApiKey, Config
from sipbridge.errors import KeyMissingOrWrong, KeyOfAnotherProject

KEY_HEADER = "x-api-key"


def check_key(config: Config, client_id: str, project_id: str, candidate: str | None) -> None:
    """Return where the key is one of the project's.

    Raises `KeyMissingOrWrong`, or `KeyOfAnotherProject` for a key that some other project has: both alike whether the
    path names a project that exists or not.
    """
    if not candidate:
        raise KeyMissingOrWrong(f"send the project's key in the header {KEY_HEADER}")
    client = config.clients.get(client_id)
    project = client.projects.get(project_id) if client else None
    if project and _matches(project.api_keys, candidate):
        return
    all_keys = (
        key for client in config.clients.values() for project in client.projects.values() for key in project.api_keys
    )
    if _matches(all_keys, candidate):
        raise KeyOfAnotherProject("this key is for another project")
    raise KeyMissingOrWrong(f"the key in the header {KEY_HEADER} is wrong")


def _matches(keys: Iterable[ApiKey], candidate: str) -> bool:
    """Whether it is one of the keys; each is compared, so that the time does not tell which."""
    return any([key.matches(candidate) for key in keys])  # noqa: C419 (a generator would stop at the first)
