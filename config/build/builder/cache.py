"""The cache of finished wheels: one directory per key, filled by one build at a time.

It is `pjsip/` in `$SIPBRIDGE_CACHE`, `$XDG_CACHE_HOME/sipbridge` or `~/.cache/sipbridge`, and has `<key>/*.whl`,
`source/` (the tarball, its hash and its version), `logs/` (of the last build) and `building-*` (a build in progress).
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import compiling, recipe, source, srtp, wheel
from .progress import Progress, StepFailed
from .recipe import Flavour
from .source import Source

# A portable wheel gets a copy of Debian's library later (release/artefacts.py).
SAMPLERATE_LICENCE = Path("/usr/share/doc/libsamplerate0/copyright")


def home() -> Path:
    """Return the directory of all cached files of sipbridge."""
    if given := os.environ.get("SIPBRIDGE_CACHE"):
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sipbridge"


def source_known() -> bool:
    """Return True if a build needs no network.

    Raises:
        StepFailed: PJPROJECT_SRC is not a source of PJSIP.
    """
    return source.known(home() / "pjsip") is not None


def key() -> str | None:
    """Return the key of the wheel for this machine; None while no source of PJSIP is known. It needs no network.

    Raises:
        StepFailed: PJPROJECT_SRC is not a source of PJSIP, or a tool of the build is missing.
    """
    known = source.known(home() / "pjsip")
    return recipe.key_of(recipe.ingredients(known, recipe.RELEASE)) if known else None


def obtain(progress: Progress, flavour: Flavour = recipe.RELEASE) -> Path:
    """Return the path of the wheel for this machine; build it first if it is not in the cache.

    Raises:
        StepFailed: the wheel could not be built.
    """
    cache = home() / "pjsip"
    known = source.known(cache)
    if known and (ready := _cached(cache, known, flavour)):
        return ready
    if any(character.isspace() for character in str(cache)):
        raise StepFailed(f"{cache}: PJSIP cannot be built in a path with spaces; set SIPBRIDGE_CACHE to another path")
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(progress, cache), _scratch(cache) as scratch:
        # Another build may have finished while this one waited for its turn.
        found = source.known(cache) or source.fetch(progress, cache, scratch)
        return _cached(cache, found, flavour) or _build(progress, cache, found, scratch, flavour)


def _cached(cache: Path, found: Source, flavour: Flavour) -> Path | None:
    directory = cache / recipe.key_of(recipe.ingredients(found, flavour))
    return next(directory.glob("*.whl"), None)


def _build(progress: Progress, cache: Path, found: Source, scratch: Path, flavour: Flavour) -> Path:
    parts = recipe.ingredients(found, flavour)
    key = recipe.key_of(parts)
    tree, work, finished = scratch / "tree", scratch / "work", scratch / key
    work.mkdir()
    finished.mkdir()
    with progress.step(f"PJSIP: unpack {found.version}"):
        found.copy_to(tree)
    flags = f"{flavour.pjsip} {recipe.without_paths(scratch)}"
    own_srtp = srtp.build(progress, cache, scratch, flags) if flavour.portable else None
    modules = compiling.compile_package(progress, tree, work, flavour, own_srtp)
    licences = {"COPYING": tree / "COPYING"}
    if own_srtp:
        licences |= {"libsrtp": own_srtp / "LICENSE", "libsamplerate": SAMPLERATE_LICENCE}
    path = wheel.write(finished, modules, licences, parts, flavour.python_tag, key)
    finished.rename(cache / key)
    return cache / key / path.name


@contextmanager
def _alone(progress: Progress, cache: Path) -> Iterator[None]:
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("PJSIP: wait for another build"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    for left in cache.glob("building-*"):  # from a build that was killed, because this is the only build now
        shutil.rmtree(left)
    scratch = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
