"""From what the file says to what it means: `${NAME}` and `file:PATH` replaced by what they name."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sipbridge.config.file_access import explain_file_error
from sipbridge.config.problems import KeyPath, Problem

_FILE_PREFIX = "file:"
_VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")
# As a shell writes it; here it is plain text.
_UNBRACED = re.compile(r"(?<!\$)\$[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unresolved:
    """Stands in the tree where a variable or a file is missing, so that the rest can still be checked."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A tree with variables and files put in.

    What is missing became `Unresolved` and a problem. `empty` holds the source of each value that is empty;
    `empty_variables` the first variable without a value in each text that has more than it. `unbraced` are values with
    a `$NAME`, which stays as it is.
    """

    tree: object
    problems: list[Problem]
    empty: dict[KeyPath, str]
    empty_variables: dict[KeyPath, str]
    unbraced: list[KeyPath]


def resolve(tree: object, base: Path, environ: Mapping[str, str]) -> Resolved:
    """Put in variables and files."""
    found = Resolved(None, [], {}, {}, [])

    def walk(node: object, path: KeyPath) -> object:
        if isinstance(node, Mapping):
            return {key: walk(child, (*path, key)) for key, child in node.items()}
        if isinstance(node, list):
            return [walk(child, (*path, position)) for position, child in enumerate(node)]
        if not isinstance(node, str):
            return node
        if _UNBRACED.search(node):
            found.unbraced.append(path)
        if empty := next((name for name, _ in _VARIABLE.findall(node) if environ.get(name) == ""), None):
            found.empty_variables[path] = empty
        try:
            value = _resolved(node, base, environ)
        except ValueError as error:
            found.problems.append(Problem(path, str(error)))
            return Unresolved()
        if not value and node:
            found.empty[path] = _origin(node)
        return value

    return replace(found, tree=walk(tree, ()))


def _resolved(text: str, base: Path, environ: Mapping[str, str]) -> str:
    filled = _VARIABLE.sub(lambda found: _variable(found, environ), text)
    # Judged by what the file says: the value of a variable cannot make us read a file.
    return _file_text(base / filled.removeprefix(_FILE_PREFIX)) if text.startswith(_FILE_PREFIX) else filled


def _origin(text: str) -> str:
    """Say where an empty value came from."""
    if text.startswith(_FILE_PREFIX):
        return "the file that is named here"
    return f"the environment variable {_VARIABLE.findall(text)[0][0]}"


def _variable(found: re.Match[str], environ: Mapping[str, str]) -> str:
    name, closed = found.groups()
    if not closed or not _VARIABLE_NAME.fullmatch(name):
        raise ValueError("has a broken `${`; write ${NAME} with letters, digits and underscores")
    if name not in environ:
        raise ValueError(f"the environment variable {name} is not set; set it")
    return environ[name]


def _file_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not UTF-8 text; give a text file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"the file {path} cannot be read: {explain_file_error(error)}; give a readable file") from None
    return text.removesuffix("\n").removesuffix("\r")


def select(tree: object, *steps: Hashable) -> Iterator[tuple[KeyPath, object]]:
    """Find what a key path names, with its full path; `...` steps into every entry of a mapping or list.

    What has another shape than the path expects is passed over: it is reported where the models are checked.
    """
    if not steps:
        yield (), tree
        return
    step, *below = steps
    entries: Iterator[tuple[object, object]]
    if isinstance(tree, Mapping):
        entries = iter(tree.items()) if step is ... else iter([(step, tree[step])] if step in tree else [])
    elif isinstance(tree, list) and step is ...:
        entries = iter(enumerate(tree))
    else:
        return
    for key, child in entries:
        for path, found in select(child, *below):
            yield (key, *path), found
