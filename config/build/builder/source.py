"""PJSIP's source: where it is, its version and hash, and its copy in the build directory.

The cache keeps these data, so that the key of a build is known without the network.
"""

import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import debian
from .progress import Progress, StepFailed

# Debian's source package `asterisk` has PJSIP as a component tarball.
WANTED = debian.Wanted("PJSIP", "sid", "asterisk", "orig-Xpjproject.tar.")
OLDEST = (2, 17)
NOT_SOURCE = ("*.o", "*.a", "*.so", "*.so.*", ".*.depend", ".git", "output")


@dataclass(frozen=True)
class Source:
    """A tarball or a tree of PJSIP, which is never changed."""

    path: Path
    sha256: str
    version: str

    def copy_to(self, tree: Path) -> None:
        """Copy the source into `tree`, without the results of an earlier build.

        Raises:
            StepFailed: a tarball in the cache is damaged.
        """
        if self.path.is_dir():
            shutil.copytree(self.path, tree, symlinks=True, ignore=shutil.ignore_patterns(*NOT_SOURCE))
            return
        if sha256_of(self.path) != self.sha256:
            raise StepFailed(f"{self.path} has changed since it was verified; delete it and build again")
        with tarfile.open(self.path) as archive:
            unpack(archive, tree)


def unpack(archive: tarfile.TarFile, tree: Path) -> None:
    """Unpack a tarball of sources without its first folder."""
    # Python before 3.11.4 has no extraction filters.
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    for member in archive.getmembers():
        _, _, member.name = member.name.partition("/")
        if member.name:
            archive.extract(member, tree)


def known(cache: Path) -> Source | None:
    """Return the source if it is known without the network: the user's, or the one that was fetched before.

    Raises:
        StepFailed: PJPROJECT_SRC is set, but is not a source of PJSIP that is new enough.
    """
    if given := os.environ.get("PJPROJECT_SRC"):
        return _given(Path(given).expanduser().absolute())
    note = cache / "source" / "source.json"
    if not note.exists():
        return None
    noted = json.loads(note.read_text())
    return Source(note.parent / noted["file"], noted["sha256"], noted["version"])


def fetch(progress: Progress, cache: Path, scratch: Path) -> Source:
    """Fetch the source from Debian's archive into the cache.

    Raises:
        StepFailed: the source could not be fetched, or is too old.
    """
    tarball, sha256 = debian.fetch(progress, WANTED, scratch)
    version = _version_of(tarball)
    kept = cache / "source" / tarball.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(tarball, kept)
    note = kept.with_name("source.json")
    draft = note.with_suffix(".new")
    draft.write_text(json.dumps({"file": kept.name, "sha256": sha256, "version": version}, indent=2) + "\n")
    draft.replace(note)
    return Source(kept, sha256, version)


def _given(path: Path) -> Source:
    if not path.exists():
        raise StepFailed(f"PJPROJECT_SRC: {path} does not exist; it must be a source tree or a tarball of PJSIP")
    version = _version_of(path)
    return Source(path, sha256_of(path), version)


def _version_of(path: Path) -> str:
    try:
        text = _version_file(path)
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise StepFailed(f"{path} is neither a source tree nor a tarball of PJSIP: {reason}") from error
    parts = dict(re.findall(r"^export PJ_VERSION_(MAJOR|MINOR|REV)\s*:=\s*(\d+)", text, re.MULTILINE))
    if not {"MAJOR", "MINOR"} <= parts.keys():
        raise StepFailed(f"{path}: version.mak does not have a version of PJSIP")
    numbers = [parts[name] for name in ("MAJOR", "MINOR", "REV") if name in parts]
    version = ".".join(numbers)
    if tuple(map(int, numbers)) < OLDEST:
        raise StepFailed(f"{path} is PJSIP {version}; sipbridge needs {'.'.join(map(str, OLDEST))} or newer")
    return version


def _version_file(path: Path) -> str:
    if path.is_dir():
        return (path / "version.mak").read_text()
    with tarfile.open(path) as archive:
        for member in archive:
            if re.fullmatch(r"[^/]+/version\.mak", member.name) and (file := archive.extractfile(member)):
                return file.read().decode()
    raise FileNotFoundError("it has no version.mak")


def sha256_of(path: Path) -> str:
    """Return the hash of a file, or one over the files of a tree."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(f"{file.relative_to(path)}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _files(directory: Path) -> Iterator[Path]:
    names = sorted(path.name for path in directory.iterdir())
    ignored = shutil.ignore_patterns(*NOT_SOURCE)(str(directory), names)
    for path in (directory / name for name in names if name not in ignored):
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file():
            yield path
