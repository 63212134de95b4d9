"""Checks of the files that a configuration names. A path that the system rejects is one more problem, not an error."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_problem(path: Path) -> str | None:
    """Return why this user cannot read a file; None if it can. The text does not show the path."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            reason = "it is not a file"
        elif not os.access(path, os.R_OK):
            reason = "Permission denied"
        else:
            return None
    except (OSError, ValueError) as error:
        reason = explain_file_error(error)
    return f"names no readable file ({reason}); paths are relative to the configuration file"


def write_problem(path: Path) -> str | None:
    """Return why this user cannot create a file or write to the one that is there; None if it can."""
    try:
        if not _is_folder(path.parent):
            return f"the folder {path.parent} does not exist; create it, for the bridge's user to write to"
        if path.exists() and not path.is_file():
            return f"{path} is not a file; remove it, or name another"
        writable = os.access(path.parent, os.W_OK | os.X_OK) and (
            not path.exists() or os.access(path, os.R_OK | os.W_OK)
        )
    except (OSError, ValueError) as error:
        return f"{path} cannot be used: {explain_file_error(error)}; name another, or give it to the bridge's user"
    return None if writable else f"{path} cannot be written by this user; give its folder to the bridge's user"


def explain_file_error(error: OSError | ValueError) -> str:
    """Return what the system says against a path, without the path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the path holds a character that no path can have"


def _is_folder(path: Path) -> bool:
    """Return True for a folder, False if nothing is there; raises `OSError` if this user may not know."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
