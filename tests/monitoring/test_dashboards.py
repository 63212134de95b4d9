"""The dashboards and Grafana's provisioning, as far as they can be checked without a running Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from .dashboards import DASHBOARDS, Dashboard, all_queries, panel_queries, panels
from .names import find_unknown_names
from .rules import DEPLOY

PROVISIONING = DEPLOY / "grafana" / "provisioning"
COMPOSE = yaml.safe_load((DEPLOY / "monitoring" / "compose.yaml").read_text())
every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def test_there_are_three_dashboards() -> None:
    assert {name: each["uid"] for name, each in DASHBOARDS.items()} == {
        name: name for name in ("sipbridge-fleet", "sipbridge-client", "sipbridge-stages")
    }


@every_dashboard
def test_the_code_has_every_name_in_a_dashboard(dashboard: Dashboard) -> None:
    unknown = {where: find_unknown_names(query) for where, query in all_queries(dashboard).items()}
    assert {where: names for where, names in unknown.items() if names} == {}


@every_dashboard
def test_every_variable_in_a_query_is_one_of_the_dashboard(dashboard: Dashboard) -> None:
    variables = {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval"}
    used = {name for query in all_queries(dashboard).values() for name in re.findall(r"\$(\w+)", query)}
    assert used | {"datasource"} == variables


@every_dashboard
def test_every_panel_explains_itself_and_names_its_series(dashboard: Dashboard) -> None:
    for panel in panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        for target in panel["targets"]:
            grouping = re.findall(r"{{(\w+)}}", target["legendFormat"])
            assert panel["type"] in ("stat", "table") or grouping or len(panel["targets"]) > 1, panel["title"]
    assert len(panel_queries(dashboard)) == sum(len(panel["targets"]) for panel in panels(dashboard))


@every_dashboard
def test_no_panel_covers_another(dashboard: Dashboard) -> None:
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_grafana_finds_the_dashboards_where_compose_mounts_them() -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "sipbridge.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[1::-1] for volume in COMPOSE["services"]["grafana"]["volumes"])
    assert mounted(mounts[provider["options"]["path"]]) == DEPLOY / "grafana" / "dashboards"
    assert mounted(mounts["/etc/grafana/provisioning"]) == PROVISIONING


def test_grafana_asks_the_prometheus_of_compose() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "sipbridge.yaml").read_text())["datasources"]
    address = source["url"].removeprefix("http://")
    assert f"--web.listen-address={address}" in COMPOSE["services"]["prometheus"]["command"]


def mounted(path: str) -> Path:
    """Return a folder that compose.yaml mounts; its paths are relative to the file."""
    return (DEPLOY / "monitoring" / path).resolve()
