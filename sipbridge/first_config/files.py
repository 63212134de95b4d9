"""The files that `sipbridge init` writes: the configuration, and a file for each secret."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sipbridge.config import load_config
from sipbridge.config.file_access import explain_file_error
from sipbridge.errors import SetupError

from .answers import Answers

SECRETS_FOLDER = "secrets"
_FOR_ALL = 0o644  # the umask of the user may take some of it away
_FOR_OWNER = 0o600


def write_files(file: Path, answers: Answers) -> list[Path]:
    """Write the configuration and its secrets; return the files, the configuration first.

    Raises `SetupError` if one of them exists or cannot be written, and `ConfigError` if the answers make no valid
    configuration. Then no file of these is left.
    """
    folder = file.parent / SECRETS_FOLDER
    made = {folder / name: secret for name, secret in _secrets(answers).items()}
    for path in (file, *made):
        if os.path.lexists(path):
            raise SetupError(f"{path} exists, and nothing is overwritten; name another file, or move this one")
    with _removed_on_failure() as written:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path, secret in made.items():
                _write(path, f"{secret}\n", _FOR_OWNER, written)
            _write(file, _configuration(file, answers), _FOR_ALL, written)
        except OSError as error:
            raise SetupError(f"{error.filename} cannot be written: {explain_file_error(error)}") from None
        load_config(file)
    return [file, *made]


def _secrets(answers: Answers) -> Mapping[str, str]:
    """Return the secrets by the names of their files: those of CXone, and new ones."""
    return {
        f"{answers.client}_client_secret": answers.cxone.client_secret,
        f"{answers.client}_access_key_secret": answers.cxone.access_key_secret,
        f"{answers.client}_{answers.project}_token": secrets.token_urlsafe(32),
        f"{answers.client}_{answers.project}_api_key": secrets.token_urlsafe(32),
        "pop_link_secret": secrets.token_urlsafe(32),
    }


def _configuration(file: Path, answers: Answers) -> str:
    environment = Environment(
        loader=PackageLoader("sipbridge.first_config", "."),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (YAML; each answer passes the filter `quoted`)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = _quoted
    return environment.get_template("bridge.yaml.jinja").render(a=answers, file=file.name, secrets=SECRETS_FOLDER)


def _quoted(value: str) -> str:
    """Return a text in double quotes, as YAML and JSON both read it."""
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _removed_on_failure() -> Iterator[list[Path]]:
    """Yield a list of files to which the block adds; if the block fails, remove them."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _write(path: Path, text: str, mode: int, written: list[Path]) -> None:
    """Write a file that must not exist. Its mode is right from the first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    written.append(path)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
