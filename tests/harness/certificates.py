"""Certificates as files, from authorities that a test creates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in separate files and together in one, `both`."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """A certificate authority; it issues certificates into a folder, its own is in `file`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = name
        self._ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(
        self,
        name: str,
        *identities: str,
        begins: datetime | None = None,
        expires: datetime | None = None,
        common_name: str | None = None,
        rsa: bool = False,
    ) -> Pair:
        """Issue a certificate for host names or addresses, by default those of loopback."""
        issued = self._ca.issue_cert(
            *(identities or ("127.0.0.1", "localhost")),
            common_name=common_name,
            not_before=begins,
            not_after=expires,
            key_type=trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA,
        )
        pair = Pair(*(self._folder / f"{self._name}-{name}.{kind}" for kind in ("pem", "key", "both.pem")))
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(pair.key))
        issued.private_key_and_cert_chain_pem.write_to_path(str(pair.both))
        return pair


def encrypt(key: Path) -> None:
    """Encrypt a key with a passphrase."""
    pem, secret = serialization.Encoding.PEM, serialization.BestAvailableEncryption(b"passphrase")
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(loaded.private_bytes(pem, serialization.PrivateFormat.PKCS8, secret))


def tls_settings(pair: Pair, authority: Authority | None = None, *, require: bool = False) -> dict[str, object]:
    """The settings of `sip.tls` that name these files."""
    return {
        "certificate_file": str(pair.certificate),
        "private_key_file": str(pair.key),
        "ca_file": str(authority.file) if authority else None,
        "require_client_certificate": require,
    }
