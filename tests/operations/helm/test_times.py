"""Times and numbers of the chart that do not fit together, and would cost callers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from sipbridge.app.service import CLOSING_SECONDS, LAST_CALLS_SECONDS
from tests.harness.programs.helm import Helm, HelmError, Manifest

from .chart import CHECKS, EXAMPLE, changed, container


def test_the_grace_period_covers_the_drain(helm: Helm) -> None:
    needed = 5 + EXAMPLE["config"]["drain_seconds"] + 35
    helm.render(changed(terminationGracePeriodSeconds=needed + 1))
    with pytest.raises(HelmError, match=f"give more than {needed} "):
        helm.render(changed(terminationGracePeriodSeconds=needed))


def test_the_parts_of_the_grace_period_are_those_of_the_bridge(manifests: list[Manifest]) -> None:
    constants = dict(re.findall(r'define "sipbridge\.(\w+)" -\}\}(\d+)\{\{', CHECKS))
    assert float(constants["afterDrainSeconds"]) == LAST_CALLS_SECONDS + CLOSING_SECONDS
    node = container(manifests)
    assert node["lifecycle"]["preStop"] == {"sleep": {"seconds": int(constants["sleepSeconds"])}}


def test_a_node_that_stands_still_is_back_before_it_is_taken_over(helm: Helm) -> None:
    # By default 4 probes with 5 s between them, 2 s for the last one, 5 s to start: 27 s.
    helm.render(changed(config={"node": {"lease_seconds": 13.6}}))
    with pytest.raises(HelmError, match="back after 27 s, and another node takes its calls over after 27 "):
        helm.render(changed(config={"node": {"lease_seconds": 13.5}}))
    with pytest.raises(HelmError, match="back after 32 s"):
        helm.render(changed(livenessProbe={"failureThreshold": 5}))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"autoscaling": {"callsPerNode": 501}}, "callsPerNode"),
        ({"autoscaling": {"minReplicas": 11}}, "exceeds maxReplicas"),
        ({"serviceMonitor": {"enabled": False}}, "set serviceMonitor.enabled"),
    ],
)
def test_autoscaling_that_cannot_work_is_refused(helm: Helm, changes: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(HelmError, match=complaint):
        helm.render(changed(**changes))
