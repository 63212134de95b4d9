"""The two nodes of the compose file, as far as they can be checked without running them."""

from __future__ import annotations

import re
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from sipbridge.app.service import CLOSING_SECONDS, LAST_CALLS_SECONDS
from sipbridge.config import Config, WebsocketAgentConfig, load_config
from sipbridge.config.redis_url import RedisUrl
from tests.harness.programs.kamailio import executable

from .command_lines import check_command_line

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "deploy" / "compose"
DOCKERFILE = ROOT / "config" / "deploy" / "docker" / "Dockerfile"
PROJECT = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
(IMAGE,) = re.findall(r"docker build .* -t (\S+) \.", DOCKERFILE.read_text())
OURS = {name: service for name, service in SERVICES.items() if service["image"] == IMAGE}
NODES = [name for name, service in OURS.items() if "command" not in service]


def test_the_image_is_the_one_that_the_dockerfile_makes() -> None:
    assert set(SERVICES) - set(OURS) == {"redis", "kamailio"}
    (build,) = (service["build"] for service in OURS.values() if "build" in service)
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert ROOT / build["dockerfile"] == DOCKERFILE


@pytest.mark.parametrize("name", [name for name in OURS if name not in NODES])
def test_commands_and_their_options_exist(name: str) -> None:
    check_command_line([*OURS[name].get("entrypoint", [])[1:], *OURS[name]["command"]])


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
    assert target in OURS["caller"]["entrypoint"]


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


def test_calls_pass_through_kamailio_to_each_node(tmp_path: Path) -> None:
    proxy = SERVICES["kamailio"]
    for source, target, _ in (volume.split(":") for volume in proxy["volumes"]):
        (tmp_path / Path(target).name).write_text((FOLDER / source).read_text().replace("/etc/kamailio", str(tmp_path)))
    command = [executable("kamailio"), "-c", "-f", str(tmp_path / "kamailio.cfg"), "-Y", str(tmp_path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    assert checked.returncode == 0, checked.stderr
    own, nodes = _address("kamailio"), [_address(name) for name in NODES]
    assert OURS["caller"]["entrypoint"][-1] == f"udp://{own}:5060"
    assert f"listen=udp:{own}:5060" in (tmp_path / "site.cfg").read_text()
    listed = re.findall(r"^1 sip:(.+):5060$", (tmp_path / "nodes.list").read_text(), re.MULTILINE)
    assert listed == nodes
    assert all("udp://0.0.0.0:5060" in _config(name).sip.listen for name in NODES)
    assert [str(network) for network in _config(NODES[0]).sip.trusted_sources] == [f"{own}/32"]


def test_kamailio_knows_who_calls_and_who_is_a_node() -> None:
    sources = re.findall(r"^(\d) (\S+) (\d+)$", (FOLDER / "kamailio" / "sources.list").read_text(), re.MULTILINE)
    (network,) = PROJECT["networks"]["trial"]["ipam"]["config"]
    assert {f"{address}/{bits}" for group, address, bits in sources if group == "1"} == {network["ip_range"]}
    assert {f"{address}/{bits}" for group, address, bits in sources if group == "2"} == {
        f"{_address(name)}/32" for name in NODES
    }
    fixed = [ip_address(_address(name)) for name in ("kamailio", *NODES)]
    assert all(address in ip_network(network["subnet"]) for address in fixed)
    assert not any(address in ip_network(network["ip_range"]) for address in fixed)


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


def _address(name: str) -> str:
    address: str = SERVICES[name]["networks"]["trial"]["ipv4_address"]
    return address


def _config(name: str) -> Config:
    return load_config(FOLDER / "bridge.yaml", OURS[name]["environment"])
