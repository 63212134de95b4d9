"""The dashboards that an operator installs into Grafana, and the queries in them."""

from __future__ import annotations

import json
import re
from typing import Any

from .rules import DEPLOY

Dashboard = dict[str, Any]

DASHBOARDS: dict[str, Dashboard] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")
}


def panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Return the panels that show something, without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries(dashboard: Dashboard) -> dict[str, str]:
    """Return the queries of the panels, by the panel's title and the target's letter."""
    return {
        f"{panel['title']} {each['refId']}": each["expr"] for panel in panels(dashboard) for each in panel["targets"]
    }


def annotation_queries(dashboard: Dashboard) -> dict[str, str]:
    """Return the queries of the annotations, by name."""
    return {each["name"]: each["expr"] for each in dashboard["annotations"]["list"]}


def variable_queries(dashboard: Dashboard) -> dict[str, str]:
    """Return, for each variable that lists the values of a label, a query that counts them."""
    queries = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found, variable
            queries[variable["name"]] = f"count by ({found[2]}) ({found[1]})"
    return queries


def all_queries(dashboard: Dashboard) -> dict[str, str]:
    """Return every query of a dashboard."""
    return panel_queries(dashboard) | annotation_queries(dashboard) | variable_queries(dashboard)


def with_values(query: str, client: str) -> str:
    """Return the query that Grafana sends for one client, all jobs and all bridges."""
    values = {"$__rate_interval": "1m", "$client": client, "$job": ".*", "$instance": ".*"}
    return re.sub(r"\$\w+", lambda found: values[found[0]], query)
