"""The rules that an operator installs into Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "config" / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"

Rule = dict[str, Any]


def rules(kind: str) -> dict[str, Rule]:
    """Return the rules of a kind, `alert` or `record`, by name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


ALERTS = rules("alert")
RECORDS = rules("record")
