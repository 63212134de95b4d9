"""Reading the file: YAML to a plain tree, then `${NAME}` and `file:PATH` to what they stand for."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path

import yaml

from sipbridge.config.problems import KeyPath, Problem
from sipbridge.errors import ConfigError

_FILE_PREFIX = "file:"
_VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unresolved:
    """Stands in the tree where a variable or a file is missing, so that the rest can still be checked."""


def read_tree(path: Path) -> tuple[object, list[Problem]]:
    """Parse the file; the problems are keys given twice. Raises `ConfigError` where it is no YAML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem((), f"cannot be read: {error.strerror}; give a readable file").line(path)]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem((), f"byte {error.start} is not UTF-8; save it as UTF-8").line(path)]) from None
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            problems = list(_repeated_keys(node, (), ())) if node else []
            return (loader.construct_document(node) if node else None), problems
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        what = error.problem or ""
        if what.startswith("but "):  # the second half of a sentence
            what = f"{error.context} {what}"
        raise ConfigError([_syntax_line(path, where, what)]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError([_syntax_line(path, "", f"character {error.position} is not allowed")]) from None
    except (ValueError, RecursionError):  # a date like 2024-99-99, an anchor within itself
        raise ConfigError([_syntax_line(path, "", "a value cannot be made of what stands there")]) from None


def _syntax_line(path: Path, where: str, what: str) -> str:
    # PyYAML quotes names of anchors and tags: a secret beginning with * or ! would show.
    shown = re.sub(r" '[^'<]{2,}'", "", what)
    return Problem((), f"is not YAML: {shown}; quote texts with special characters and check the indentation").line(
        Path(f"{path}{where}")
    )


def _repeated_keys(node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Iterator[Problem]:
    if node in above:
        raise yaml.MarkedYAMLError(problem="an alias stands within its own anchor", problem_mark=node.start_mark)
    above = (*above, node)
    if isinstance(node, yaml.SequenceNode):
        for position, child in enumerate(node.value):
            yield from _repeated_keys(child, (*path, position), above)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, child in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen:
                yield Problem((*path, name), f"is given in line {seen[name]} and in line {line}; keep one")
            seen.setdefault(name, line)
            yield from _repeated_keys(child, (*path, name), above)


def resolve(tree: object, base: Path, environ: Mapping[str, str]) -> tuple[object, list[Problem]]:
    """Put in variables and files. What is missing becomes `Unresolved` and a problem."""
    problems: list[Problem] = []

    def walk(node: object, path: KeyPath) -> object:
        if isinstance(node, Mapping):
            return {key: walk(child, (*path, key)) for key, child in node.items()}
        if isinstance(node, list):
            return [walk(child, (*path, position)) for position, child in enumerate(node)]
        if not isinstance(node, str):
            return node
        try:
            return _resolved(node, base, environ)
        except ValueError as error:
            problems.append(Problem(path, str(error)))
            return Unresolved()

    return walk(tree, ()), problems


def _resolved(text: str, base: Path, environ: Mapping[str, str]) -> str:
    filled = _VARIABLE.sub(lambda found: _variable(found, environ), text)
    # Judged by what the file says: the value of a variable cannot make us read a file.
    return _file_text(base / filled.removeprefix(_FILE_PREFIX)) if text.startswith(_FILE_PREFIX) else filled


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
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}; give a readable file") from None
    except (UnicodeDecodeError, ValueError):
        raise ValueError(f"the file {path} is not UTF-8 text; give a text file") from None
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
