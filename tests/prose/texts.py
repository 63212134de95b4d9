"""The texts of this repository that people read, each with its kind and its line."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.prose.cpp import cpp_texts, patch_texts
from tests.prose.hash_comments import hash_comments
from tests.prose.pages import paragraphs
from tests.prose.rules import Kind
from tests.prose.text import Text, plain

# Comments that tools read.
PRAGMA = re.compile(r"#\s*(?:noqa|type:|ruff:|mypy:|pragma|!)")
LOGGERS = {"debug", "info", "warning", "error", "exception", "critical"}


def texts(path: Path) -> Iterator[Text]:
    """Return all texts of one file that the rules apply to."""
    read = reader(path)
    return read(path) if read else iter(())


def reader(path: Path) -> Callable[[Path], Iterator[Text]] | None:
    """Return the function that reads the texts of a file; None if the rules do not apply to it."""
    if path.suffix in READERS:
        return READERS[path.suffix]
    if path.suffix:
        return None
    if path.name == "Dockerfile":
        return hash_comments
    with path.open("rb") as content:
        interpreter = content.readline()
    if not interpreter.startswith(b"#!"):
        return None
    return python_texts if b"python" in interpreter else hash_comments


def python_texts(path: Path) -> Iterator[Text]:
    """Return the docstrings, comments, messages and test names of a module."""
    source = path.read_text(encoding="utf-8")
    yield from _comments(path, source)
    yield from _strings(path, ast.parse(source))


def _comments(path: Path, source: str) -> Iterator[Text]:
    """Return comments; those on consecutive lines are one text."""
    block: list[str] = []
    begins = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or PRAGMA.match(token.string):
            continue
        row = token.start[0]
        if block and row != last + 1:
            yield Text(path, begins, Kind.COMMENT, plain(" ".join(block)))
            block = []
        if not block:
            begins = row
        block.append(token.string.lstrip("#: "))
        last = row
    if block:
        yield Text(path, begins, Kind.COMMENT, plain(" ".join(block)))


def _strings(path: Path, tree: ast.Module) -> Iterator[Text]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if docstring := ast.get_docstring(node):
                yield Text(path, node.body[0].lineno, Kind.DOCSTRING, plain(docstring))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield Text(path, node.lineno, Kind.TEST, node.name.removeprefix("test_").replace("_", " "))
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from _messages(path, node.exc, Kind.ERROR)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_logger(node.func):
            yield from _messages(path, node, Kind.LOG)


def _is_logger(function: ast.Attribute) -> bool:
    owner = function.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return function.attr in LOGGERS and name.lower().lstrip("_") in {"logger", "log"}


def _messages(path: Path, call: ast.Call, kind: Kind) -> Iterator[Text]:
    for argument in call.args[:1] if kind is Kind.LOG else call.args:
        if words := _literal(argument):
            yield Text(path, argument.lineno, kind, words)


def _literal(node: ast.expr) -> str:
    """Return the literal parts of a string or f-string, with X for each value in it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) and " " in node.value else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return ""


READERS: dict[str, Callable[[Path], Iterator[Text]]] = {
    ".py": python_texts,
    ".md": paragraphs,
    **dict.fromkeys((".cpp", ".hpp", ".h", ".i"), cpp_texts),
    ".patch": patch_texts,
    **dict.fromkeys((".yaml", ".yml", ".service", ".conf"), hash_comments),
}
