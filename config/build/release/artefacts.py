"""The files of a release, in dist/. docs/releasing.md says which of them can be repeated exactly."""

# ruff: noqa: S603, S607  (the tools of this machine, found as its user would)
import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

from builder import cache, recipe
from builder.progress import Progress, StepFailed

from . import image
from .tools import Tools

ROOT = Path(__file__).resolve().parents[3]
DIST = ROOT / "dist"
LOCKS = ROOT / "config" / "locks"
# That of Debian 12, the oldest system that releases are for (PEP 600).
PLATFORM = f"manylinux_2_36_{platform.machine()}"
# Debian 12, Ubuntu 24.04 and newer ones have these, and correct their faults. The wheel uses those of the system.
FROM_SYSTEM = ("libssl.so.3", "libcrypto.so.3")


class Release:
    """The files of the release that pyproject.toml names."""

    def __init__(self, progress: Progress, scratch: Path) -> None:
        self.version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        self._progress = progress
        self._scratch = scratch
        self._time = os.environ.get("SOURCE_DATE_EPOCH") or _time_of_commit()
        if _has_changes():
            progress.say("  warning: the work tree has changes that are not committed, and the release will have them")
        shutil.rmtree(DIST, ignore_errors=True)
        DIST.mkdir()

    def build_packages(self, tools: Tools) -> None:
        """Build the sdist, and the wheel from the files of the sdist.

        Raises:
            StepFailed: the build failed.
        """
        build = [tools.python, "-m", "hatchling", "build", "--directory", DIST, "--target"]
        self._run("Packages: sdist", [*build, "sdist"], ROOT)
        with tarfile.open(DIST / f"sipbridge-{self.version}.tar.gz") as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(self._scratch)  # noqa: S202  (it was made a moment ago)
        self._run("Packages: wheel", [*build, "wheel"], self._scratch / f"sipbridge-{self.version}")
        # The tested versions of what the wheel requires, with their hashes.
        shutil.copy(LOCKS / "runtime.lock", DIST / f"sipbridge-{self.version}-requirements.txt")

    def build_pjsip(self, tools: Tools) -> None:
        """Build the wheel of PJSIP, and put the libraries into it that a bare system has not.

        Raises:
            StepFailed: the build failed, or this system's C library is newer than that of Debian 12.
        """
        wheel = cache.obtain(self._progress, recipe.PORTABLE)
        excluded = [option for name in FROM_SYSTEM for option in ("--exclude", name)]
        repair = ["repair", "--plat", PLATFORM, "--only-plat", *excluded, "--wheel-dir", DIST, wheel]
        self._run("PJSIP: portable wheel", [tools.python, "-m", "auditwheel", *repair], self._scratch)

    def build_image(self) -> None:
        """Build the image.

        Raises:
            StepFailed: the build failed.
        """
        image.build(self._progress, self.version, self._time, DIST)

    def list_components(self, tools: Tools, *, with_image: bool) -> None:
        """Install the release, and write the lists of its components (SBOM), checked against their schema.

        Raises:
            StepFailed: the release cannot be installed, or a list is not valid.
        """
        python = self._install(tools)
        script = [tools.python, Path(__file__).with_name("sbom.py"), python, self._only("sipbridge_pjsip-*.whl")]
        self._run("Components: wheels", [*script, DIST / f"sipbridge-{self.version}.cdx.json"], ROOT)
        if with_image:
            # As `config/setup --release --tracing` does in the Dockerfile.
            self._pip(tools, python, "packages of the image", "--require-hashes", "-r", LOCKS / "tracing.lock")
            packages = self._scratch / "packages"
            packages.write_text(image.packages())
            output = self._only("*-oci-*.tar").with_suffix(".cdx.json")
            self._run("Components: image", [*script, output, packages], ROOT)

    def _install(self, tools: Tools) -> Path:
        """Install the wheels as a user does, and return the interpreter of their environment."""
        directory = self._scratch / "installed"
        python = directory / "bin" / "python"
        self._run("Install: environment", [tools.python, "-m", "venv", "--without-pip", directory], ROOT)
        self._pip(tools, python, "locked packages", "--require-hashes", "-r", self._only("*-requirements.txt"))
        self._pip(tools, python, "wheels", "--no-index", *DIST.glob("*.whl"))
        self._run("Install: check", [python, "-c", "from sipbridge_pjsip import pjsua2; import sipbridge.app"], ROOT)
        return python

    def _pip(self, tools: Tools, python: Path, title: str, *options: str | Path) -> None:
        pip = [tools.python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--python", python, "install"]
        self._run(f"Install: {title}", [*pip, *options], ROOT)

    def _only(self, pattern: str) -> Path:
        (found,) = DIST.glob(pattern)
        return found

    def write_checksums(self) -> None:
        """Write SHA256SUMS, as sha256sum(1) reads it."""
        lines = [f"{_sha256_of(path)}  {path.name}\n" for path in sorted(DIST.iterdir())]
        (DIST / "SHA256SUMS").write_text("".join(lines))

    def _run(self, title: str, argv: list[str | Path], cwd: Path) -> None:
        self._progress.run(title, argv, cwd=cwd, env={"SOURCE_DATE_EPOCH": self._time})


def _time_of_commit() -> str:
    try:
        log = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StepFailed("this is not a clone with git: set SOURCE_DATE_EPOCH to the time of the release") from error
    return log.stdout.strip()


def _has_changes() -> bool:
    status = ["git", "status", "--porcelain"]
    return bool(subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=False).stdout)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
