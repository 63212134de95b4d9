"""The files of `sip.tls` as PJSIP reads them: copies in memory, each checked before it takes the place of another."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from sipbridge.config import TlsConfig, certificate_problems, dotted
from sipbridge.errors import ConfigError

# In the order of `TlsConfig`.
_FILES = ("certificate_file", "private_key_file", "ca_file")


class Copies:
    """File descriptors of copies in memory, by key of `sip.tls`. To be used or closed."""

    def __init__(self, files: dict[str, int] | None = None) -> None:
        self.files = files or {}

    def close(self) -> None:
        """Forget them; nothing if they were used."""
        while self.files:
            os.close(self.files.popitem()[1])


class Credentials:
    """Certificate, key and authorities that new TLS connections use.

    PJSIP opens its files when a connection does, which may be in the middle of their renewal. So it is given paths of
    copies: `read` makes them and looks whether they fit together, `use` puts them in the place of those before, all
    within one turn of the SIP thread. Nothing is written to a disk.
    """

    def __init__(self, tls: TlsConfig) -> None:
        """Read the files for the first time. Raises `ConfigError`."""
        self._copies = _copies(tls)
        paths = ssl.get_default_verify_paths()
        # A directory that is looked things up in costs less than the whole bundle for each connection.
        self.authorities_directory = "" if tls.ca_file else paths.capath or ""
        self.authorities_file = self._path("ca_file") or ("" if self.authorities_directory else paths.cafile or "")

    @property
    def certificate_file(self) -> str:
        """Where PJSIP finds the certificate."""
        return self._path("certificate_file")

    @property
    def private_key_file(self) -> str:
        """Where PJSIP finds its key."""
        return self._path("private_key_file")

    @staticmethod
    def read(tls: TlsConfig) -> Copies:
        """Read the files anew, for `use`: as many as before, from other paths where those have changed. Blocks.

        Raises `ConfigError` with everything that is wrong; nothing has changed then.
        """
        return _copies(tls)

    def use(self, copies: Copies) -> None:
        """Use what was read; on the SIP thread, which opens the files."""
        for name, copy in copies.files.items():
            os.dup2(copy, self._copies.files[name], inheritable=False)
        copies.close()

    def close(self) -> None:
        """Forget them."""
        self._copies.close()

    def _path(self, name: str) -> str:
        return _path_of(self._copies.files[name]) if name in self._copies.files else ""


def _copies(tls: TlsConfig) -> Copies:
    """Copy the files into memory. Raises `ConfigError` where they cannot be used."""
    copies = Copies()
    try:
        for name in _FILES:
            file: Path | None = getattr(tls, name)
            if file is not None:
                copies.files[name] = _copy(name, file)
        as_read = {name: Path(_path_of(copy)) for name, copy in copies.files.items()}
        _check(tls.model_copy(update=as_read))
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
