"""The chart, its example, and what it renders."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.harness.programs.helm import Manifest

ROOT = Path(__file__).parents[3]
CHART = ROOT / "config" / "deploy" / "helm"
CHECKS = (CHART / "templates" / "_checks.tpl").read_text()
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
EXAMPLE = yaml.safe_load((CHART / "example-values.yaml").read_text())


def only(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the object of a kind that there is once."""
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def container(manifests: list[Manifest]) -> Manifest:
    """Return the container of a node."""
    (found,) = only(manifests, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    node: Manifest = found
    return node


def changed(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 (of any shape)
    """Return the example with changes, merged as Helm merges values."""
    return _merged(copy.deepcopy(EXAMPLE), changes)


def _merged(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        known = values.get(key)
        values[key] = (
            _merged(known, value) if isinstance(value, Mapping) and value and isinstance(known, dict) else value
        )
    return values
