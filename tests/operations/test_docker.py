"""The Dockerfile, as far as it can be checked without building it (`.ci/image` builds it and calls through it)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "config" / "deploy" / "docker" / "Dockerfile").read_text()
LAST_STAGE = DOCKERFILE.rpartition("\nFROM ")[2]
IGNORED = (ROOT / "config" / "deploy" / "docker" / "Dockerfile.dockerignore").read_text().splitlines()


def test_the_process_is_not_root_and_a_stop_drains_it() -> None:
    assert re.findall(r"^USER (.+)$", LAST_STAGE, re.MULTILINE) == ["sipbridge"]
    assert re.findall(r"^STOPSIGNAL (.+)$", LAST_STAGE, re.MULTILINE) == ["SIGTERM"]


def test_the_image_is_built_by_the_script_of_make_setup() -> None:
    assert "config/setup --release" in DOCKERFILE
    assert "config/setup" in (ROOT / "Makefile").read_text()


def test_no_secret_can_enter_a_layer() -> None:
    # Only the listed files reach the builder, and no value is passed by argument or environment.
    assert "*" in IGNORED
    allowed = [line[1:] for line in IGNORED if line.startswith("!")]
    assert [path for path in allowed if not (ROOT / path).exists()] == []
    assert not re.search(r"^(ARG|ADD) ", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^ENV (.+)$", LAST_STAGE, re.MULTILINE) == [
        "PATH=/opt/sipbridge/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1",
        "SIPBRIDGE_HEALTH_URL=http://127.0.0.1:8080/healthz",
    ]


def test_the_image_installs_the_tested_versions() -> None:
    runtime, tracing, everything = (_pinned(f"{name}.lock") for name in ("runtime", "tracing", "requirements"))
    assert runtime.items() < tracing.items() < everything.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=~ ;\[]", entry)[0].lower() for entry in project["dependencies"]}
    assert wanted <= runtime.keys()


def _pinned(name: str) -> dict[str, str]:
    lock = (ROOT / "config" / "locks" / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
