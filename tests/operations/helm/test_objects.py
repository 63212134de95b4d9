"""The objects that the chart renders, checked against the schemas of Kubernetes."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sipbridge.telemetry import Metrics
from sipbridge.web.app import OPERATIONS
from tests.harness.programs.helm import RELEASES, Helm, Manifest, faults
from tests.operations.command_lines import check_command_line

from .chart import CHART, DEFAULTS, EXAMPLE, ROOT, changed, container, only

DOCKERFILE = (ROOT / "config" / "deploy" / "docker" / "Dockerfile").read_text()
# Their schemas are those of other projects.
OPERATORS = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}


def test_helm_finds_nothing_to_correct(helm: Helm) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm.lint(EXAMPLE)


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_accepts_every_object(manifests: list[Manifest], release: str) -> None:
    own = [each for each in manifests if each["kind"] not in OPERATORS]
    assert {each["kind"] for each in own} == {"ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet"}
    assert [fault for each in own for fault in faults(each, release)] == []


def test_objects_of_operators_are_rendered_only_if_asked_for(helm: Helm, manifests: list[Manifest]) -> None:
    assert {each["kind"] for each in manifests} >= OPERATORS
    plain = changed(serviceMonitor={}, prometheusRule={}, autoscaling={"enabled": False})
    assert {each["kind"] for each in helm.render(plain)} & OPERATORS == set()


def test_every_selector_finds_the_pods(manifests: list[Manifest]) -> None:
    nodes = only(manifests, "StatefulSet")
    pod = nodes["spec"]["template"]["metadata"]["labels"]
    services = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "Service"}
    matched = [
        nodes["spec"]["selector"]["matchLabels"],
        only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in services.values()),
    ]
    # And nothing else: labels that a new chart changes would replace every pod.
    assert all(selector == pod for selector in matched)
    assert services[nodes["spec"]["serviceName"]]["spec"]["clusterIP"] == "None"


def test_prometheus_reads_each_node_once(manifests: list[Manifest]) -> None:
    monitor = only(manifests, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    found = [each for each in manifests if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()]
    assert [service["spec"]["publishNotReadyAddresses"] for service in found] == [True]
    assert found[0]["metadata"]["labels"][monitor["jobLabel"]] == "sipbridge"
    # KEDA's query names the Service that Prometheus reads.
    assert f'namespace="voice", service="{found[0]["metadata"]["name"]}"' in _query(manifests)


def test_keda_sets_the_number_of_nodes(helm: Helm, manifests: list[Manifest]) -> None:
    nodes, scaled = only(manifests, "StatefulSet"), only(manifests, "ScaledObject")["spec"]
    assert "replicas" not in nodes["spec"]
    assert scaled["scaleTargetRef"]["name"] == nodes["metadata"]["name"]
    assert _query(manifests).endswith(f"+ {DEFAULTS['autoscaling']['spareCalls']}")
    fixed = helm.render(changed(autoscaling={"enabled": False}))
    assert only(fixed, "StatefulSet")["spec"]["replicas"] == EXAMPLE["replicas"]


def test_pods_run_as_the_image_does(manifests: list[Manifest]) -> None:
    pod = only(manifests, "StatefulSet")["spec"]["template"]["spec"]
    node = container(manifests)
    assert f"--uid {pod['securityContext']['runAsUser']} " in DOCKERFILE
    assert node["image"] == f"{EXAMPLE['image']['repository']}:{_version()}"
    check_command_line(node["args"])
    (data,) = re.findall(r"^VOLUME (.+)$", DOCKERFILE, re.MULTILINE)
    assert data in {mount["mountPath"] for mount in node["volumeMounts"]}


def test_a_full_node_stays_in_the_service(manifests: list[Manifest]) -> None:
    node = container(manifests)
    probed = {name: probe["httpGet"]["path"] for name, probe in node.items() if name.endswith("Probe")}
    assert probed == {"startupProbe": "/readyz", "livenessProbe": "/healthz", "readinessProbe": "/healthz"}
    assert set(probed.values()) <= {operation.path for operation in OPERATIONS}


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == _version()


def test_the_rules_are_those_of_prometheus(manifests: list[Manifest]) -> None:
    rules = yaml.safe_load((ROOT / "config" / "deploy" / "prometheus" / "rules.yaml").read_text())
    assert only(manifests, "PrometheusRule")["spec"] == rules


def test_keda_reads_a_metric_that_exists(manifests: list[Manifest]) -> None:
    page = Metrics(pjsip_version="2.17").page().decode()
    (name,) = re.findall(r"\bsipbridge_[a-z_]+", _query(manifests))
    assert name in {family.name for family in text_string_to_metric_families(page)}


def _query(manifests: list[Manifest]) -> str:
    (trigger,) = only(manifests, "ScaledObject")["spec"]["triggers"]
    query: str = trigger["metadata"]["query"]
    return query


def _version() -> str:
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version
