"""The files of `sip.tls` as PJSIP reads them: copies in memory, checked before they replace the present ones."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from sipbridge.config import TlsConfig, certificate_problems, dotted
from sipbridge.errors import ConfigError

# In the order of `TlsConfig`.
_FILES = ("certificate_file", "private_key_file", "ca_file")


class TlsFileCopies:
    """File descriptors of copies in memory, by key of `sip.tls`. Pass them to `TlsFiles.replace`, or close them."""

    def __init__(self, files: dict[str, int] | None = None) -> None:
        self.files = files or {}

    def close(self) -> None:
        """Close the descriptors that are still open."""
        while self.files:
            os.close(self.files.popitem()[1])


class TlsFiles:
    """Certificate, key and authorities for new TLS connections.

    PJSIP reads its files when a connection opens, which may be in the middle of their renewal. So it gets paths of
    copies in memory: `read` makes copies and checks that they fit together, `replace` replaces the present ones within
    one turn of the SIP thread. Nothing is written to a disk.
    """

    def __init__(self, tls: TlsConfig) -> None:
        """Read the files for the first time. Raises `ConfigError`."""
        self._copies = _make_copies(tls)
        paths = ssl.get_default_verify_paths()
        # OpenSSL looks single certificates up in a directory; a bundle it would read whole for each connection.
        self.authorities_directory = "" if tls.ca_file else paths.capath or ""
        self.authorities_file = self._path("ca_file") or ("" if self.authorities_directory else paths.cafile or "")

    @property
    def certificate_file(self) -> str:
        """The path of the certificate."""
        return self._path("certificate_file")

    @property
    def private_key_file(self) -> str:
        """The path of the certificate's private key."""
        return self._path("private_key_file")

    @staticmethod
    def read(tls: TlsConfig) -> TlsFileCopies:
        """Read the files again, for `replace`. Their paths may have changed, their number not. Blocks.

        Raises `ConfigError` with all problems; nothing has changed then.
        """
        return _make_copies(tls)

    def replace(self, copies: TlsFileCopies) -> None:
        """Replace the present copies. On the SIP thread, which opens the files."""
        for name, copy in copies.files.items():
            os.dup2(copy, self._copies.files[name], inheritable=False)
        copies.close()

    def close(self) -> None:
        """Close all copies."""
        self._copies.close()

    def _path(self, name: str) -> str:
        return _path_of(self._copies.files[name]) if name in self._copies.files else ""


def _make_copies(tls: TlsConfig) -> TlsFileCopies:
    """Copy the files into memory. Raises `ConfigError` if they cannot be used."""
    copies = TlsFileCopies()
    try:
        for name in _FILES:
            file: Path | None = getattr(tls, name)
            if file is not None:
                copies.files[name] = _copy(name, file)
        in_memory = {name: Path(_path_of(copy)) for name, copy in copies.files.items()}
        _check(tls.model_copy(update=in_memory))
    except BaseException:
        copies.close()
        raise
    return copies


def _check(tls: TlsConfig) -> None:
    if problems := list(certificate_problems(tls)):
        raise ConfigError([f"{dotted(problem.path)}: {problem.text}" for problem in problems])


def _copy(name: str, file: Path) -> int:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError([f"sip.tls.{name}: cannot be read: {error.strerror}; give a readable file"]) from None
    copy = os.memfd_create(f"sipbridge-{name}")
    with os.fdopen(copy, "wb", closefd=False) as target:
        target.write(content)
    return copy


def _path_of(copy: int) -> str:
    return f"/proc/self/fd/{copy}"
