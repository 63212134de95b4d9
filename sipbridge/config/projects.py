"""The key of a project across all clients."""

from __future__ import annotations

from typing import NamedTuple

from sipbridge.config.problems import KeyPath


class ProjectKey(NamedTuple):
    """The ids of a client and of one of its projects."""

    client: str
    project: str

    @property
    def path(self) -> KeyPath:
        """The key path of the project in the file."""
        return ("clients", self.client, "projects", self.project)
