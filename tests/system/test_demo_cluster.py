from __future__ import annotations

import re

import pytest

from tests.demo import cluster

Output = pytest.CaptureFixture[str]


@pytest.mark.timeout(180)  # a takeover
def test_the_cluster_demo_observes_every_step(capsys: Output) -> None:
    assert cluster.main([]) == 0
    told = capsys.readouterr().out
    assert len(re.findall(r"CXone     Signal for contact \d+: care, reason node_lost$", told, re.MULTILINE)) == 2
    assert len(re.findall(r"reason asked_for_human$", told, re.MULTILINE)) == 4
    assert "kill -9 node-1, in the conversations of caller" in told
    assert "node-1 gets no calls any more" in told
    times = [float(found) for found in re.findall(r"^ +(\d+\.\d{3})  ", told, re.MULTILINE)]
    assert times == sorted(times)
