"""libsrtp with OpenSSL's ciphers, for the portable module.

Debian's own uses those of NSS, which loads more of its libraries by name while it runs. So no wheel could contain it.
"""

import shutil
import tarfile
from pathlib import Path

from . import debian, source
from .progress import Progress, StepFailed

WANTED = debian.Wanted("libsrtp", "bookworm", "libsrtp2", ".orig.tar.")
VERSION = "2.5.0"
SHA256 = "8a43ef8e9ae2b665292591af62aa1a4ae41e468b6d98d8258f91478735da4e09"


def build(progress: Progress, cache: Path, scratch: Path, flags: str) -> Path:
    """Return a directory with the headers, the static library and the licence; `flags` are the compiler's.

    Raises:
        StepFailed: the source could not be fetched, is another one, or does not compile.
    """
    tree, prefix = scratch / "srtp", scratch / "srtp-installed"
    with tarfile.open(_tarball(progress, cache, scratch)) as archive:
        source.unpack(archive, tree)
    configure = ["./configure", "--enable-openssl", "--disable-pcap", f"--prefix={prefix}"]
    progress.run("libsrtp: configure", configure, cwd=tree, env={"CFLAGS": flags})
    progress.run("libsrtp: compile", ["make", "libsrtp2.a", "install"], cwd=tree)
    shutil.copy(tree / "LICENSE", prefix)
    return prefix


def _tarball(progress: Progress, cache: Path, scratch: Path) -> Path:
    kept = cache / "source" / f"libsrtp-{VERSION}.tar.gz"
    if not kept.exists():
        fetched, _ = debian.fetch(progress, WANTED, scratch)
        if source.sha256_of(fetched) != SHA256:
            raise StepFailed(f"{fetched.name} of Debian's archive is not libsrtp {VERSION} as it was released")
        # PJSIP's source need not be in the cache: it may be the user's.
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(fetched, kept)
    elif source.sha256_of(kept) != SHA256:
        raise StepFailed(f"{kept} is not libsrtp {VERSION} as it was released; delete it and build again")
    return kept
