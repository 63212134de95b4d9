"""The replacement of `${NAME}` and `file:PATH` by the variables and files that they name."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sipbridge.config.file_access import explain_file_error
from sipbridge.config.problems import KeyPath, Problem

_FILE_PREFIX = "file:"
_VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")
# A variable in a shell; here it is plain text.
_UNBRACED = re.compile(r"(?<!\$)\$[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unresolved:
    """The value of a missing variable or file in the tree, so that the rest can still be checked."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A tree with variables and files replaced by their content.

    A missing one is `Unresolved` in the tree, and a problem. `empty` holds the source of each empty value, and
    `empty_variables` the first empty variable in each text that uses one. `unbraced` are the texts with a `$NAME`,
    which is not replaced.
    """

    tree: object
    problems: list[Problem]
    empty: dict[KeyPath, str]
    empty_variables: dict[KeyPath, str]
    unbraced: list[KeyPath]


def resolve(tree: object, base: Path, environ: Mapping[str, str]) -> Resolved:
    """Replace variables and files by their content."""
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
    # Decided by the text of the file: the value of a variable cannot make the bridge read a file.
    return _file_text(base / filled.removeprefix(_FILE_PREFIX)) if text.startswith(_FILE_PREFIX) else filled


def _origin(text: str) -> str:
    """Return the source of an empty value, as the subject of a sentence."""
    if text.startswith(_FILE_PREFIX):
        return "the file named here"
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
        raise ValueError(f"the file {path} is not valid UTF-8; give a text file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"the file {path} cannot be read: {explain_file_error(error)}; give a readable file") from None
    return text.removesuffix("\n").removesuffix("\r")


def select(tree: object, *steps: Hashable) -> Iterator[tuple[KeyPath, object]]:
    """Yield the values that a key path names, each with its full path; `...` matches every entry of a mapping or list.

    A value of another shape than the path expects is skipped: the check of the models reports it.
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
