"""The system packages that sipbridge needs, and their installation.

A package counts as installed if what it provides works, wherever that is from. If nothing is missing, apt does not run.
"""

# ruff: noqa: S603, S607  (the tools of this machine, found as its user would)
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from . import cache, debian
from .progress import Progress, StepFailed

PYTHON = f"python3.{sys.version_info[1]}"
# The tests start their own Kamailio. As a service it would take port 5060, the bridge's own.
_NO_SERVICE = tuple(
    part
    for path in ("/etc/init.d/kamailio", "/lib/systemd/system/kamailio.*", "/usr/lib/systemd/system/kamailio.*")
    for part in ("-o", f"DPkg::Options::=--path-exclude={path}")
)
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300", *_NO_SERVICE, "-y")


class Need(NamedTuple):
    """A requirement: its name, its Debian package, and a function that checks it."""

    what: str
    package: str
    met: Callable[[], bool]


def _tool(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _daemon(name: str) -> Callable[[], bool]:
    """Return a check for a program that Debian has in a folder outside a user's PATH."""
    return lambda: shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin") is not None


def _library(module: str) -> Callable[[], bool]:
    def met() -> bool:
        if shutil.which("pkg-config") is None:
            return False
        return subprocess.run(["pkg-config", "--exists", module], check=False).returncode == 0

    return met


BUILD_NEEDS = (
    Need("g++", "g++", _tool("g++")),
    Need("make", "make", _tool("make")),
    Need("patch", "patch", _tool("patch")),
    Need("pkg-config", "pkgconf", _tool("pkg-config")),
    Need("SWIG", "swig", _tool("swig")),
    Need("OpenSSL, with headers", "libssl-dev", _library("openssl")),
    Need("libsrtp 2, with headers", "libsrtp2-dev", _library("libsrtp2")),
    Need("libsamplerate, with headers", "libsamplerate0-dev", _library("samplerate")),
    Need("libuuid, with headers", "uuid-dev", _library("uuid")),
    Need("Python's headers", f"{PYTHON}-dev", lambda: Path(sysconfig.get_path("include"), "Python.h").exists()),
    Need("Python's venv with pip", f"{PYTHON}-venv", lambda: importlib.util.find_spec("ensurepip") is not None),
)
TEST_NEEDS = (
    Need("SIPp", "sip-tester", _tool("sipp")),
    Need("baresip", "baresip-core", _tool("baresip")),
    Need("eSpeak NG", "espeak-ng", _tool("espeak-ng")),
    Need("systemd-analyze", "systemd", _tool("systemd-analyze")),
    Need("doctest", "doctest-dev", lambda: Path("/usr/include/doctest/doctest.h").exists()),
    Need("ip", "iproute2", _tool("ip")),
    Need("curl", "curl", _tool("curl")),
    Need("Redis", "redis-server", _tool("redis-server")),
    Need("Prometheus", "prometheus", _tool("promtool")),
    Need("Kamailio", "kamailio", _daemon("kamailio")),
    Need("Kamailio's TLS", "kamailio-tls-modules", lambda: any(Path("/usr/lib").glob("*/kamailio/modules/tls.so"))),
)
NEEDS = (*BUILD_NEEDS, *TEST_NEEDS)
PAGE_NEEDS = (Need("Chromium", "chromium", _tool("chromium")),)
SOURCE_NEEDS = (
    Need("Debian's archive keys", "debian-archive-keyring", lambda: bool(debian.keyrings())),
    Need("the address of Debian's archive", "python-apt-common", lambda: any(debian.mirrors())),
    Need("CA certificates", "ca-certificates", lambda: Path("/etc/ssl/certs/ca-certificates.crt").exists()),
)


def install_missing(progress: Progress, needs: Iterable[Need]) -> None:
    """Install the missing packages with apt.

    Raises:
        StepFailed: a package is missing and could not be installed, or the system has no apt.
    """
    wanted = (*needs, *([] if cache.source_known() else SOURCE_NEEDS))
    missing = _missing(wanted)
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise StepFailed(f"this system has no apt; install these packages and run it again:\n{_listed(missing)}")
    _install(progress, [need.package for need in missing])
    if missing := _missing(wanted):
        raise StepFailed(f"still missing for {sys.executable} after installing packages:\n{_listed(missing)}")


def _missing(needs: Iterable[Need]) -> list[Need]:
    return [need for need in needs if not need.met()]


def _listed(needs: list[Need]) -> str:
    return "\n".join(f"    {need.what} (Debian: {need.package})" for need in needs)


def _install(progress: Progress, packages: list[str]) -> None:
    sudo = _sudo(packages)
    progress.say(f"  installing system packages: {' '.join(packages)}")
    install = [*sudo, *APT, "install", "--no-install-recommends", *packages]
    try:
        # The machine's index of packages is usually good enough. A fresh machine has none, and an old one is outdated.
        progress.run("system packages", install)
    except StepFailed:
        progress.run("system packages: index", [*sudo, *APT, "update"])
        progress.run("system packages, with a new index", install)


def _sudo(packages: list[str]) -> list[str]:
    if os.geteuid() == 0:
        return []
    # sudo asks for the password here, where the user sees it; later commands run in the background.
    if shutil.which("sudo") is None or subprocess.run(["sudo", "-v"], check=False).returncode:
        raise StepFailed(f"system packages are missing. As root, run: apt-get install {' '.join(packages)}")
    return ["sudo", "-n"]
