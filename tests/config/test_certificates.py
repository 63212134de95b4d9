from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipbridge.config import certificate_problems
from sipbridge.config.certificates import valid_until
from tests.harness.certificates import Authority, Pair, encrypt, tls_settings

from .files import config_problems, load, tree

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("own")


def problems(folder: Path, pair: Pair, authority: Authority | None = None) -> list[str]:
    sip = {"listen": ["tls://127.0.0.1:0"], "tls": tls_settings(pair, authority)}
    return config_problems(folder, tree(sip=sip))


def test_matching_files_have_no_problem(tmp_path: Path, authority: Authority) -> None:
    expires = NOW + 90 * DAY
    sip = {"tls": tls_settings(authority.issue("own", expires=expires), authority, require=True)}
    tls = load(tmp_path, tree(sip=sip)).sip.tls
    assert list(certificate_problems(tls)) == []
    assert valid_until(tls) == expires


def test_without_a_certificate_there_is_no_expiry(tmp_path: Path) -> None:
    assert valid_until(load(tmp_path, tree()).sip.tls) is None


def test_a_certificate_whose_file_is_missing_has_no_expiry(tmp_path: Path, authority: Authority, pair: Pair) -> None:
    tls = load(tmp_path, tree(sip={"tls": tls_settings(pair, authority)})).sip.tls
    assert tls.certificate_file is not None
    tls.certificate_file.unlink()
    assert valid_until(tls) is None


@pytest.mark.parametrize("content", ["", "no PEM\n"])
def test_a_file_without_a_certificate(tmp_path: Path, authority: Authority, pair: Pair, content: str) -> None:
    authority.file.write_text(content)
    assert problems(tmp_path, pair, authority) == [
        "sip.tls.ca_file: holds no certificate; give a PEM file of the authorities"
    ]
    pair.certificate.write_text(content)
    assert problems(tmp_path, pair) == [
        "sip.tls.certificate_file: holds no certificate; give a PEM file, with those of the intermediates"
    ]


@pytest.mark.parametrize(
    ("begins", "ends", "fault"), [(-9, -1, "certificate has expired"), (1, 9, "certificate is not yet valid")]
)
def test_an_invalid_date(tmp_path: Path, authority: Authority, begins: int, ends: int, fault: str) -> None:
    pair = authority.issue("own", begins=NOW + begins * DAY, expires=NOW + ends * DAY)
    assert problems(tmp_path, pair) == [f"sip.tls.certificate_file: cannot be used: {fault}; renew it"]


@pytest.mark.parametrize("rsa", [False, True])
def test_a_key_of_another_certificate(tmp_path: Path, authority: Authority, pair: Pair, *, rsa: bool) -> None:
    other = authority.issue("other", rsa=rsa)
    (problem,) = problems(tmp_path, Pair(pair.certificate, other.key, pair.both))
    assert problem.startswith(
        "sip.tls.private_key_file: does not belong to the certificate in sip.tls.certificate_file"
    )


def test_a_file_without_a_key(tmp_path: Path, pair: Pair) -> None:
    pair.key.write_text("")
    assert problems(tmp_path, pair) == [
        "sip.tls.private_key_file: holds no private key that can be used; give a PEM file"
    ]


def test_an_encrypted_key_requests_no_passphrase(tmp_path: Path, pair: Pair) -> None:
    encrypt(pair.key)
    (problem,) = problems(tmp_path, pair)
    assert problem.startswith("sip.tls.private_key_file: is encrypted; give a key without a passphrase")
