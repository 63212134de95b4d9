"""Sources from Debian's archive, fetched and verified by apt.

apt checks the signature of the archive, with it the hash of the index, and with that the hash of the tarball. The
machine's own apt state does not change.
"""

# ruff: noqa: S603, S607  (the tools of this machine, found as its user would)
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .progress import Progress, StepFailed

KEYRINGS = Path("/usr/share/keyrings")
APT_HELPER = "/usr/lib/apt/apt-helper"
# The address of Debian's archive on a system that is derived from Debian (package python-apt-common).
ARCHIVE_ADDRESSES = Path("/usr/share/python-apt/templates/Debian.info")
OTHER_WAYS = (
    "Set DEBIAN_MIRROR to a mirror of Debian's archive, or PJPROJECT_SRC to a source tree or tarball of PJSIP "
    "(docs/building.md)."
)


class Wanted(NamedTuple):
    """A tarball of a source package: what it contains, the suite, the package, and a part of the tarball's name."""

    what: str
    suite: str
    package: str
    part: str


class Download(NamedTuple):
    """The tarball in apt's index, whose hash the signature of the archive covers."""

    uri: str
    name: str
    sha256: str


def fetch(progress: Progress, wanted: Wanted, directory: Path) -> tuple[Path, str]:
    """Fetch the tarball into `directory`; return its path and its SHA-256.

    Raises:
        StepFailed: no mirror has the tarball, or it could not be verified.
    """
    keys = keyrings()
    if not keys:
        raise StepFailed(f"Debian's archive keys are missing: install debian-archive-keyring. {OTHER_WAYS}")
    failure = StepFailed(f"No mirror of Debian's archive is known here. {OTHER_WAYS}")
    for number, mirror in enumerate(mirrors(), 1):
        options = _private_apt(directory / f"apt-{wanted.package}-{number}", mirror, keys[0], wanted.suite)
        try:
            progress.run(f"{wanted.what}: index of Debian's archive ({number})", ["apt-get", *options, "update"])
            found = _locate(options, wanted)
            target = directory / found.name
            argv = [APT_HELPER, *options, "download-file", found.uri, str(target), f"SHA256:{found.sha256}"]
            progress.run(f"{wanted.what}: source from Debian's archive", argv)
        except StepFailed as error:
            failure = StepFailed(f"{error}\n  {OTHER_WAYS}")
        else:
            return target, found.sha256
    raise failure


def keyrings() -> list[Path]:
    """Return the files with the keys of Debian's archive; none if their package is not installed."""
    return sorted(KEYRINGS.glob("debian-archive-keyring.*"))


def mirrors() -> Iterator[str]:
    """Yield addresses of Debian's archive: the user's, those in the machine's apt configuration, that of a package."""
    if given := os.environ.get("DEBIAN_MIRROR"):
        yield given
        return
    if _is_debian():
        yield from sorted(_machine_mirrors(), key=lambda uri: not uri.endswith("/debian"))
    if ARCHIVE_ADDRESSES.exists():
        for section in ARCHIVE_ADDRESSES.read_text().split("\n\n"):
            if re.search(r"^Suite: sid$", section, re.MULTILINE):
                yield from re.findall(r"^BaseURI: *(\S+)$", section, re.MULTILINE)
                return


def _machine_mirrors() -> set[str]:
    # apt reads both forms of its configuration; this command needs no network and no index.
    printed = subprocess.run(["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^'(\S+)/dists/(\S+)/InRelease'", printed, re.MULTILINE)
    return {uri for uri, suite in found if not suite.endswith(("-security", "/updates"))}


def _is_debian() -> bool:
    release = Path("/etc/os-release").read_text()
    return re.search(r'^ID="?debian"?$', release, re.MULTILINE) is not None


def _private_apt(directory: Path, mirror: str, keyring: Path, suite: str) -> list[str]:
    lists = directory / "lists"
    (lists / "partial").mkdir(parents=True)
    sources = directory / "sources.list"
    sources.write_text(f"deb-src [signed-by={keyring}] {mirror} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": str(sources),
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": str(lists),
        "Dir::Cache": str(directory),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",  # apt's own user may not read this private directory
        "APT::Update::Error-Mode": "any",  # a mirror that fails is an error, not a warning
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _locate(options: list[str], wanted: Wanted) -> Download:
    argv = ["apt-get", *options, "source", "-qq", "--print-uris", "--only-source", wanted.package]
    printed = subprocess.run(argv, capture_output=True, text=True, check=False)
    for uri, name, sha256 in re.findall(r"^'(\S+)' (\S+) \d+ SHA256:([0-9a-f]{64})$", printed.stdout, re.MULTILINE):
        if wanted.part in name and not name.endswith(".asc"):
            return Download(uri, name, sha256)
    reason = printed.stderr.strip()[-300:]
    raise StepFailed(f"Debian's source package {wanted.package} does not contain {wanted.what}: {reason}")
