"""The files of a release: one version everywhere, and the contents of sdist and wheel. `make dist` builds them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import sipbridge
from sipbridge.http.client import _FIXED_HEADERS
from sipbridge.web.api.openapi import describe

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sipbridge"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION: str = PROJECT["version"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
# What `make dist` adds to every file, so that equal sources make equal files.
EPOCH = "1800000000"


def test_the_program_has_the_version_of_the_project() -> None:
    """It fails in an environment that was installed before the version changed: `make setup` renews it."""
    assert sipbridge.__version__ == VERSION
    assert f"\r\nUser-Agent: sipbridge/{VERSION}\r\n" in _FIXED_HEADERS
    assert describe([], "https://bridge.example.com")["info"]["version"] == VERSION


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((ROOT / "config" / "deploy" / "helm" / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


@pytest.mark.parametrize(
    ("page", "pattern"),
    [
        ("README.md", r"Release (\S+) has these limits"),
        ("docs/operations.md", r"^sipbridge (\S+) ready: "),
        ("docs/cluster.md", r"/sipbridge:(\S+)"),
        ("docs/releasing.md", r"\bsipbridge[-:](\d+(?:\.\d+)+)"),
    ],
)
def test_a_page_names_the_version_of_the_project(page: str, pattern: str) -> None:
    named = re.findall(pattern, (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    assert set(named) == {VERSION}


def test_the_changelog_has_a_section_for_the_version() -> None:
    """Changes since then are above it, and no section is there twice."""
    sections = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", CHANGELOG, re.MULTILINE)
    assert sections[:2] == ["Unreleased", VERSION]
    assert len(set(sections)) == len(sections)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of the work tree."""
    return _build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)  # noqa: S202 (it was made a moment ago)
    return _build("wheel", folder / f"sipbridge-{VERSION}", folder)


def test_the_wheel_has_all_files_of_the_package_but_the_native_layer(wheel: Path) -> None:
    files = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and not {"__pycache__", "native"} & set(path.parts)
    }
    suffixes = {Path(name).suffix for name in files}
    assert {".py", ".typed", ".html", ".css", ".js", ".svg", ".lua", ".jinja"} <= suffixes
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.startswith("sipbridge/")} == files


def test_the_wheel_installs_the_command_and_its_requirements(wheel: Path) -> None:
    info = f"sipbridge-{VERSION}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{info}/METADATA").decode()
        commands = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert "sipbridge = sipbridge.cli:main" in commands
    assert f"\nVersion: {VERSION}\n" in metadata
    required = re.findall(r"^Requires-Dist: (?!.*extra ==)", metadata, re.MULTILINE)
    assert len(required) == len(PROJECT["dependencies"])


def test_the_wheel_of_the_sdist_is_that_of_the_work_tree(wheel: Path, tmp_path: Path) -> None:
    assert _build("wheel", ROOT, tmp_path).read_bytes() == wheel.read_bytes()


def test_the_sdist_can_build_pjsip(sdist: Path) -> None:
    top = f"sipbridge-{VERSION}"
    with tarfile.open(sdist) as archive:
        names = set(archive.getnames())
    sources = [path for folder in ("native", "native/patches") for path in (PACKAGE / "sip" / folder).glob("*.*")]
    assert len(sources) > 100
    build = [*sources, *(ROOT / "config" / "build").rglob("*.py"), ROOT / "config" / "setup"]
    assert {f"{top}/{path.relative_to(ROOT)}" for path in build} - names == set()


def _build(target: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    environ = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    subprocess.run(command, cwd=source, env=environ, check=True, capture_output=True)  # noqa: S603 (our own)
    (built,) = (path for path in folder.iterdir() if path.is_file())
    return built
