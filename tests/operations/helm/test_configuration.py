"""The rendered configuration, read as a bridge does, and what the chart refuses in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

from sipbridge.config import Config, load_config
from sipbridge.config.tokens import HashedSecret
from tests.harness.programs.helm import Helm, HelmError, Manifest

from .chart import CHECKS, EXAMPLE, changed, container, only

SECRETS = "/etc/sipbridge/secrets"


def test_the_bridge_reads_the_configuration(manifests: list[Manifest], tmp_path: Path) -> None:
    config = _read(manifests, tmp_path, "sipbridge-1")
    assert (config.node.id, config.node.internal_url) == ("sipbridge-1", "http://10.0.0.12:8080")
    assert config.http.listen == "10.0.0.12:8080"
    assert config.store.url == "redis://bridge:secret-of-redis@redis:6379/0"
    assert config.store.journal == Path("/var/lib/sipbridge/calls.journal")
    assert config.sip.public_address == "machine-1.voice.example.com"
    assert config.drain_seconds == EXAMPLE["config"]["drain_seconds"]
    assert list(config.clients) == ["acme"]


def test_the_values_have_the_defaults_of_the_bridge(helm: Helm, tmp_path: Path) -> None:
    smallest = {"config": {"clients": EXAMPLE["config"]["clients"]}}
    config = _read(helm.render(smallest), tmp_path, "sipbridge-0")
    default = {name: field.default for name, field in Config.model_fields.items()}
    assert config.drain_seconds == default["drain_seconds"]
    assert config.node.lease_seconds == default["node"].lease_seconds
    assert config.sip == default["sip"]


def test_numbers_stay_what_they_are(helm: Helm, tmp_path: Path) -> None:
    numbers = {"drain_seconds": 12.5, "max_chats": 123_456}
    config = _read(helm.render(changed(config=numbers)), tmp_path, "sipbridge-0")
    assert (config.drain_seconds, config.max_chats) == (12.5, 123_456)


@pytest.mark.parametrize("key", ["http.listen", "node.id", "node.internal_url", "store.journal"])
def test_keys_of_a_single_node_are_refused(helm: Helm, key: str) -> None:
    section, name = key.split(".")
    with pytest.raises(HelmError, match=name):
        helm.render(changed(config={section: {name: "10.0.0.5:8080"}}))


def test_a_store_without_redis_is_refused(helm: Helm) -> None:
    with pytest.raises(HelmError, match="/config/store/url"):
        helm.render(changed(config={"store": {"url": "sqlite:///calls.db"}}))


def test_unknown_values_are_refused(helm: Helm) -> None:
    with pytest.raises(HelmError, match="replica"):
        helm.render(changed(replica=3))


# ------------------------------------------------------------ secrets


def test_the_chart_knows_every_secret_of_the_configuration() -> None:
    (listed,) = re.findall(r"\$secrets := list (.+) }}", CHECKS)
    schema = Config.model_json_schema(schema_generator=_SchemaWithHashes)
    assert set(re.findall(r'"(\w+)"', listed)) == set(_secret_keys(schema))


@pytest.mark.parametrize(
    "changes",
    [
        {"http": {"pop_link_secret": "SECRET-in-plain-text"}},
        {"http": {"admin": {"keys": ["SECRET-in-plain-text"]}}},
        {"clients": {"acme": {"cxone": {"client_secret": "SECRET-in-plain-text"}}}},
        {"clients": {"acme": {"projects": {"billing": {"auth_token": "SECRET-in-plain-text"}}}}},
        {"store": {"url": "redis://user:SECRET@redis:6379/0"}},
        {"store": {"url": "redis+sentinel://redis/main?sentinel_password=SECRET"}},
    ],
)
def test_secrets_in_values_are_refused_and_not_shown(helm: Helm, changes: Mapping[str, Any]) -> None:
    with pytest.raises(HelmError, match="of existingSecret, and write file:") as refused:
        helm.render(changed(config=changes))
    assert "SECRET" not in str(refused.value)


def _read(manifests: list[Manifest], folder: Path, pod: str) -> Config:
    """Read the configuration as a pod does, with its volumes below a folder."""
    text = only(manifests, "ConfigMap")["data"]["bridge.yaml"]
    for name in set(re.findall(rf"file:{SECRETS}/(\w+)", text)):
        value = (
            "redis://bridge:secret-of-redis@redis:6379/0" if name == "redis_url" else f"content-of-the-secret-{name}"
        )
        (folder / name).write_text(value)
    file = folder / "bridge.yaml"
    file.write_text(text.replace(SECRETS, str(folder)))
    node = container(manifests)
    fields = {"metadata.name": pod, "status.podIP": "10.0.0.12", "spec.nodeName": "machine-1"}
    environ = {each["name"]: fields[each["valueFrom"]["fieldRef"]["fieldPath"]] for each in node["env"]}
    return load_config(file, environ)


def _secret_keys(schema: object) -> Iterator[str]:
    """Yield the keys whose values are secrets."""
    if isinstance(schema, dict):
        for key, value in schema.get("properties", {}).items():
            if "'format': 'password'" in str(value):
                yield key
        for value in schema.values():
            yield from _secret_keys(value)


class _SchemaWithHashes(GenerateJsonSchema):
    """Describes the tokens and keys that the bridge hashes as secrets; pydantic has no description of them."""

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:  # noqa: ARG002
        read = schema.get("function", {}).get("function")
        is_hashed = issubclass(getattr(read, "__self__", object), HashedSecret)
        return {"format": "password"} if is_hashed else {}
