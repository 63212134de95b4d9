"""All projects of a configuration, across its clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from sipbridge.config.problems import KeyPath

if TYPE_CHECKING:
    from sipbridge.config.models import Config, ProjectConfig


class ProjectKey(NamedTuple):
    """The ids of a client and of one of its projects."""

    client: str
    project: str

    @property
    def path(self) -> KeyPath:
        """The key path of the project in the file."""
        return ("clients", self.client, "projects", self.project)


def all_projects(config: Config) -> Iterator[tuple[ProjectKey, ProjectConfig]]:
    """Yield all projects, in the order of the file."""
    for client_id, client in config.clients.items():
        for project_id, project in client.projects.items():
            yield ProjectKey(client_id, project_id), project
