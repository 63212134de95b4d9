"""The configuration file as YAML: its plain tree, the line of each key, and what only the text shows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sipbridge.config.problems import KeyPath, Problem
from sipbridge.errors import ConfigError

# A comment that may have been meant as part of the value: ` #` followed directly by text or by the end of the line.
_SUSPICIOUS_COMMENT = re.compile(r"[ \t]+#(?:[^\s#]|$)")

# Each alias counts as what it stands for: ten lines of aliases of aliases can expand to more than the memory holds.
MAX_ENTRIES = 250_000


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file.

    `lines` holds the line of each key and list entry, counted from 1. `repeated` are problems of keys that the file has
    twice. `cut_short` are keys whose plain value ends at a `#` that may have been meant as part of the value.
    """

    tree: object
    lines: Mapping[KeyPath, int]
    repeated: tuple[Problem, ...]
    cut_short: tuple[KeyPath, ...]

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of a key, or else of the nearest key that contains it; None for the whole file."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None


def read_document(path: Path) -> Document:
    """Parse the file. Raises `ConfigError` with line and column if it is not YAML."""
    text = _text_of(path)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            keys = list(itertools.islice(_walk(node, (), ()), MAX_ENTRIES + 1)) if node else []
            if len(keys) > MAX_ENTRIES:
                text = f"has more than {MAX_ENTRIES:,} entries, with what its aliases stand for; write fewer"
                raise ConfigError([Problem((), text).line(path)])
            tree = loader.construct_document(node) if node else None
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
    except (ValueError, RecursionError):  # a date like 2024-99-99, an anchor that contains itself
        raise ConfigError([_syntax_line(path, "", "a value is not valid for its YAML type")]) from None
    lines: dict[KeyPath, int] = {}
    for key, line, _ in keys:
        lines.setdefault(key, line)
    rows = text.splitlines()
    cut_short = tuple(key for key, _, value in keys if isinstance(value, yaml.ScalarNode) and _is_cut(value, rows))
    return Document(tree, lines, tuple(_repeated(keys)), cut_short)


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem((), f"cannot be read: {error.strerror}; give a readable file").line(path)]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem((), f"byte {error.start} is not valid UTF-8; save the file as UTF-8").line(path)]
        ) from None


def _syntax_line(path: Path, where: str, what: str) -> str:
    # PyYAML quotes the names of anchors and tags, which would show a secret that begins with * or !.
    shown = re.sub(r" '[^'<]{2,}'", "", what)
    return Problem((), f"is not YAML: {shown}; quote texts with special characters and check the indentation").line(
        Path(f"{path}{where}")
    )


def _walk(node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Iterator[tuple[KeyPath, int, yaml.Node]]:
    """Yield the path, the line and the value of every key and list entry."""
    if node in above:
        raise yaml.MarkedYAMLError(problem="an alias is inside its own anchor", problem_mark=node.start_mark)
    above = (*above, node)
    entries: list[tuple[object, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.SequenceNode):
        entries = [(position, child, child) for position, child in enumerate(node.value)]
    elif isinstance(node, yaml.MappingNode):
        entries = [(str(key.value), key, child) for key, child in node.value]
    for step, place, child in entries:
        yield (*path, step), place.start_mark.line + 1, child
        yield from _walk(child, (*path, step), above)


def _repeated(keys: list[tuple[KeyPath, int, yaml.Node]]) -> Iterator[Problem]:
    first: dict[KeyPath, int] = {}
    for path, line, _ in keys:
        if path in first:
            yield Problem(path, f"is in line {first[path]} and in line {line}; keep one")
        first.setdefault(path, line)


def _is_cut(value: yaml.ScalarNode, rows: list[str]) -> bool:
    if value.style is not None:  # quoted, or a block
        return False
    mark = value.end_mark
    row = rows[mark.line] if mark.line < len(rows) else ""
    return _SUSPICIOUS_COMMENT.match(row, mark.column) is not None
