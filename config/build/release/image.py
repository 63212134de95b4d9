"""The image of a release: the Dockerfile's, in one file that needs no registry (OCI image layout)."""

# ruff: noqa: S603  (the tools of this machine, found as its user would)
import os
import platform
import shutil
import subprocess
from pathlib import Path

from builder.progress import Progress, StepFailed

ROOT = Path(__file__).resolve().parents[3]
# Also for .ci/image and .ci/service.
NAME = "sipbridge"
# In Debian's words; the image has no other.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LIST = """
dpkg-query --show --showformat '${Package} ${Version}\\n'
python3 -c 'from importlib.metadata import version; print("sipbridge-pjsip", version("sipbridge-pjsip"))'
"""


def check() -> None:
    """Check that this machine can build an image.

    Raises:
        StepFailed: it cannot.
    """
    if os.geteuid() != 0 or shutil.which("podman") is None:
        raise StepFailed("the image needs root and podman; make dist IMAGE=no leaves it out")


def build(progress: Progress, version: str, time: str, directory: Path) -> Path:
    """Write the image into `directory`, with the time `time` in all its layers; return its path.

    Raises:
        StepFailed: the build failed.
    """
    path = directory / f"sipbridge-{version}-oci-{ARCHITECTURES.get(platform.machine(), platform.machine())}.tar"
    progress.run("Image: build", [ROOT / ".ci" / "build-image", "--timestamp", time], cwd=ROOT)
    tag = f"{NAME}:{version}"
    progress.run("Image: tag", ["podman", "tag", NAME, tag])
    progress.run("Image: save", ["podman", "save", "--quiet", "--format", "oci-archive", "--output", path, tag])
    return path


def packages() -> str:
    """Return the Debian packages of the last image, and its wheel of PJSIP: a name and a version per line.

    Raises:
        StepFailed: it has no list of packages.
    """
    # The limits are low, since those of podman's own may be more than this machine allows.
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=512:512"]
    run = ["podman", "run", "--rm", "--network", "none", *limits, "--entrypoint", "sh", NAME, "-euc", _LIST]
    found = subprocess.run(run, capture_output=True, text=True, check=False)
    if found.returncode:
        raise StepFailed(f"the image has no list of packages:\n{found.stderr.strip()}")
    return found.stdout
