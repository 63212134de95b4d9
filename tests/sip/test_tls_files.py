from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipbridge.config import TlsConfig
from sipbridge.errors import ConfigError
from sipbridge.sip.tls_files import Credentials
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
def credentials(tls: TlsConfig) -> Iterator[Credentials]:
    made = Credentials(tls)
    yield made
    made.close()


def test_what_is_used_is_what_was_read(credentials: Credentials, authority: Authority, pair: Pair) -> None:
    certificate, key, authorities = pair.certificate.read_text(), pair.key.read_text(), authority.file.read_text()
    for file in (pair.certificate, pair.key, authority.file):
        file.write_text("renewed in part")
    assert Path(credentials.certificate_file).read_text() == certificate
    assert Path(credentials.private_key_file).read_text() == key
    assert Path(credentials.authorities_file).read_text() == authorities
    assert credentials.authorities_directory == ""


def test_without_authorities_of_its_own_it_takes_those_of_the_system(tls: TlsConfig) -> None:
    credentials = Credentials(tls.model_copy(update={"ca_file": None}))
    assert Path(credentials.authorities_directory or credentials.authorities_file).exists()
    credentials.close()


def test_new_files_take_the_place_of_the_old_ones(credentials: Credentials, tls: TlsConfig, tmp_path: Path) -> None:
    renewed = Authority(tmp_path, "renewed").issue("own")
    moved = tls.model_copy(update={"certificate_file": renewed.certificate, "private_key_file": renewed.key})
    copies = credentials.read(moved)
    assert Path(credentials.certificate_file).read_bytes() != renewed.certificate.read_bytes()
    credentials.use(copies)
    assert Path(credentials.certificate_file).read_bytes() == renewed.certificate.read_bytes()
    assert Path(credentials.private_key_file).read_bytes() == renewed.key.read_bytes()


def test_files_that_cannot_be_used_change_nothing_and_leave_nothing_open(
    credentials: Credentials, tls: TlsConfig, pair: Pair
) -> None:
    certificate = Path(credentials.certificate_file).read_bytes()
    opened = os.listdir("/proc/self/fd")  # noqa: PTH208 (names, not paths)
    pair.key.write_text("")
    with pytest.raises(ConfigError, match=r"^sip\.tls\.private_key_file: holds no private key"):
        credentials.read(tls)
    pair.certificate.unlink()
    with pytest.raises(ConfigError, match=r"^sip\.tls\.certificate_file: cannot be read: No such file"):
        credentials.read(tls)
    assert Path(credentials.certificate_file).read_bytes() == certificate
    assert os.listdir("/proc/self/fd") == opened  # noqa: PTH208 (names, not paths)
