"""The two nodes of the compose file, as far as they can be checked without running them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from sipbridge.app.service import CLOSING_SECONDS, LAST_CALLS_SECONDS
from sipbridge.cli import cli
from sipbridge.config import Config, WebsocketAgentConfig, load_config
from sipbridge.config.redis_url import RedisUrl

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "deploy" / "compose"
DOCKERFILE = ROOT / "config" / "deploy" / "docker" / "Dockerfile"
PROJECT = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
(IMAGE,) = re.findall(r"docker build .* -t (\S+) \.", DOCKERFILE.read_text())
OURS = {name: service for name, service in SERVICES.items() if service["image"] == IMAGE}
NODES = [name for name, service in OURS.items() if "command" not in service]


def test_the_image_is_the_one_that_the_dockerfile_makes() -> None:
    assert set(SERVICES) - set(OURS) == {"redis"}
    (build,) = (service["build"] for service in OURS.values() if "build" in service)
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert ROOT / build["dockerfile"] == DOCKERFILE


@pytest.mark.parametrize("name", [name for name in OURS if name not in NODES])
def test_commands_and_their_options_exist(name: str) -> None:
    command, *options = OURS[name]["command"]
    cli.commands[command].make_context(command, [*options])


def test_redis_keeps_claims() -> None:
    command = SERVICES["redis"]["command"]
    assert command[0] == "redis-server"
    assert dict(zip(command[1::2], command[2::2], strict=True)) == {
        "--appendonly": "yes",
        "--maxmemory-policy": "noeviction",
    }


@pytest.mark.parametrize("name", NODES)
def test_a_node_reads_its_configuration(name: str) -> None:
    config = _config(name)
    assert (config.node.id, config.node.internal_url) == (name, f"http://{name}:{config.http.listen.port}")
    assert config.store.journal_path.parent == Path("/var/lib/sipbridge")
    # Its own volume, at the folder of the image.
    assert f"{name}:/var/lib/sipbridge" in OURS[name]["volumes"]
    assert name in PROJECT["volumes"]
    assert "VOLUME /var/lib/sipbridge" in DOCKERFILE.read_text()


def test_the_image_runs_the_file_that_is_mounted() -> None:
    (mounted,) = {volume for name in NODES for volume in OURS[name]["volumes"] if volume.startswith("./")}
    source, target, _ = mounted.split(":")
    assert (FOLDER / source).is_file()
    assert f'"--config", "{target}"]' in DOCKERFILE.read_text()
    assert target in OURS["caller"]["command"]


def test_nodes_find_the_other_services() -> None:
    config = _config(NODES[0])
    project = next(project for _, project in config.voice_projects())
    ((redis, _),) = RedisUrl.parse(config.store.url).hosts
    assert redis in SERVICES
    assert isinstance(project.agent, WebsocketAgentConfig)
    for url, name in ((config.clients["demo"].cxone.issuer, "cxone"), (project.agent.url, "agent")):
        host, port = urlsplit(url).hostname, urlsplit(url).port
        assert host == name
        assert f"0.0.0.0:{port}" in SERVICES[name]["command"]


def test_the_caller_reaches_a_node() -> None:
    options = dict(zip(OURS["caller"]["command"][1::2], OURS["caller"]["command"][2::2], strict=True))
    config = _config(NODES[0])
    own = OURS[NODES[0]]["networks"]["trial"]["ipv4_address"]
    assert options["--sip"] in {str(url).replace("0.0.0.0", own) for url in config.sip.listen}  # noqa: S104 (compared)
    assert options["--api"] == config.node.internal_url
    (network,) = config.sip.trusted_sources
    assert [{"subnet": str(network)}] == PROJECT["networks"]["trial"]["ipam"]["config"]
    assert ip_address(own) in network


@pytest.mark.parametrize("name", NODES)
def test_the_api_is_published_on_this_machine_alone(name: str) -> None:
    (published,) = OURS[name]["ports"]
    host, _, inside = published.split(":")
    assert host == "127.0.0.1"
    assert int(inside) == _config(name).http.listen.port
    assert f" {inside}/tcp" in DOCKERFILE.read_text()


@pytest.mark.parametrize("name", NODES)
def test_a_stop_waits_for_the_drain(name: str) -> None:
    assert float(OURS[name]["stop_grace_period"].removesuffix("s")) > (
        _config(name).drain_seconds + LAST_CALLS_SECONDS + CLOSING_SECONDS
    )


def _config(name: str) -> Config:
    return load_config(FOLDER / "bridge.yaml", OURS[name]["environment"])
