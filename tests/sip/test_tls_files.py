from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipbridge.config import TlsConfig
from sipbridge.errors import ConfigError
from sipbridge.sip.tls_files import TlsFiles
from tests.harness.certificates import Authority, Pair, tls_settings


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("own")


@pytest.fixture
def tls(authority: Authority, pair: Pair) -> TlsConfig:
    return TlsConfig.model_validate(tls_settings(pair, authority))


@pytest.fixture
def tls_files(tls: TlsConfig) -> Iterator[TlsFiles]:
    made = TlsFiles(tls)
    yield made
    made.close()


def test_a_file_that_changes_does_not_change_its_copy(tls_files: TlsFiles, authority: Authority, pair: Pair) -> None:
    certificate, key, authorities = pair.certificate.read_text(), pair.key.read_text(), authority.file.read_text()
    for file in (pair.certificate, pair.key, authority.file):
        file.write_text("renewed in part")
    assert Path(tls_files.certificate_file).read_text() == certificate
    assert Path(tls_files.private_key_file).read_text() == key
    assert Path(tls_files.authorities_file).read_text() == authorities
    assert tls_files.authorities_directory == ""


def test_without_ca_file_the_authorities_are_the_systems(tls: TlsConfig) -> None:
    tls_files = TlsFiles(tls.model_copy(update={"ca_file": None}))
    assert Path(tls_files.authorities_directory or tls_files.authorities_file).exists()
    tls_files.close()


def test_new_copies_replace_the_present_ones(tls_files: TlsFiles, tls: TlsConfig, tmp_path: Path) -> None:
    renewed = Authority(tmp_path, "renewed").issue("own")
    moved = tls.model_copy(update={"certificate_file": renewed.certificate, "private_key_file": renewed.key})
    copies = tls_files.read(moved)
    assert Path(tls_files.certificate_file).read_bytes() != renewed.certificate.read_bytes()
    tls_files.replace(copies)
    assert Path(tls_files.certificate_file).read_bytes() == renewed.certificate.read_bytes()
    assert Path(tls_files.private_key_file).read_bytes() == renewed.key.read_bytes()


def test_unusable_files_change_nothing_and_leave_no_descriptor_open(
    tls_files: TlsFiles, tls: TlsConfig, pair: Pair
) -> None:
    certificate = Path(tls_files.certificate_file).read_bytes()
    opened = os.listdir("/proc/self/fd")  # noqa: PTH208 (names, not paths)
    pair.key.write_text("")
    with pytest.raises(ConfigError, match=r"^sip\.tls\.private_key_file: holds no private key"):
        tls_files.read(tls)
    pair.certificate.unlink()
    with pytest.raises(ConfigError, match=r"^sip\.tls\.certificate_file: cannot be read: No such file"):
        tls_files.read(tls)
    assert Path(tls_files.certificate_file).read_bytes() == certificate
    assert os.listdir("/proc/self/fd") == opened  # noqa: PTH208 (names, not paths)
