"""The source of libsrtp for the portable module: fetched once, verified, and kept."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
CONTENT = b"a tarball"


@pytest.fixture
def srtp(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The builder's module. Debian's archive has `CONTENT`, which is the release."""
    monkeypatch.syspath_prepend(ROOT / "config" / "build")
    module = importlib.import_module("builder.srtp")

    def fetch(_progress: object, _wanted: object, directory: Path) -> tuple[Path, str]:
        tarball = directory / "libsrtp2.orig.tar.gz"
        tarball.write_bytes(CONTENT)
        return tarball, ""

    monkeypatch.setattr(module.debian, "fetch", fetch)
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return module


def kept(srtp: ModuleType, folder: Path) -> Path:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    tarball: Path = srtp._tarball(None, folder / "cache", scratch)  # noqa: SLF001 (the rest compiles)
    return tarball


def test_the_source_is_kept_in_a_cache_that_has_no_other_source(srtp: ModuleType, tmp_path: Path) -> None:
    tarball = kept(srtp, tmp_path)
    assert tarball.is_relative_to(tmp_path / "cache")
    assert tarball.read_bytes() == CONTENT


def test_another_source_is_refused_and_not_kept(
    srtp: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(srtp, "SHA256", "0" * 64)
    with pytest.raises(srtp.StepFailed, match="of Debian's archive is not libsrtp"):
        kept(srtp, tmp_path)
    assert not (tmp_path / "cache").exists()


def test_a_kept_source_that_has_changed_is_refused(srtp: ModuleType, tmp_path: Path) -> None:
    kept(srtp, tmp_path).write_bytes(b"damaged")
    with pytest.raises(srtp.StepFailed, match="delete it and build again"):
        kept(srtp, tmp_path)
