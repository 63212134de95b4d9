from __future__ import annotations

import pytest

from tests.harness.peers import need
from tests.harness.programs.helm import INSTALLED, Helm, Manifest

from .chart import CHART, EXAMPLE


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    need("Helm", installed=INSTALLED)
    return Helm(tmp_path_factory.mktemp("helm"), CHART)


@pytest.fixture(scope="session")
def manifests(helm: Helm) -> list[Manifest]:
    """The objects of the example."""
    return helm.render(EXAMPLE)
