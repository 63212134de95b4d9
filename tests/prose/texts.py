"""The texts of this repository that people read, each with its kind and its line."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.prose.rules import Kind

CODE = re.compile(r"`+[^`]*`+")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
FENCE = re.compile(r"^\s*(?:```|~~~)")
BLOCK = re.compile(r"^\s*(?:[-*] |\d+\. |#+ |\||>)")
# Comments that tools read.
PRAGMA = re.compile(r"#\s*(?:noqa|type:|ruff:|mypy:|pragma|!)")
LOGGERS = {"debug", "info", "warning", "error", "exception", "critical"}
FULL_STOP = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!vs\.)\s+")
COLON = re.compile(r"(?<=[:])\s+")
WIDTH = 100


@dataclass(frozen=True)
class Text:
    """One text: a paragraph, a comment, a docstring, a message or the name of a test."""

    path: Path
    line: int
    kind: Kind
    words: str
    table: bool = False

    def sentences(self) -> list[str]:
        """Return the sentences of the text. A colon ends one, as a list or an example follows it."""
        return [part for sentence in _sentences(self.words) for part in COLON.split(sentence) if part]


def texts(path: Path) -> Iterator[Text]:
    """Return all texts of one Python or Markdown file."""
    if path.suffix == ".md":
        yield from _page(path)
    elif path.suffix == ".py":
        source = path.read_text(encoding="utf-8")
        yield from _comments(path, source)
        yield from _strings(path, ast.parse(source))


def long_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Return the lines of a page over 100 columns in which a sentence ends, with their first words."""
    fenced = False
    for number, line in enumerate(_lines(path), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and not line.lstrip().startswith("|") and _is_long(line):
            yield number, line[:40]


def plain(text: str) -> str:
    """Return text without Markdown's code and link targets, on one line."""
    without_code = CODE.sub("CODE", text)
    return " ".join(LINK.sub(r"\1", without_code).split())


def _is_long(line: str) -> bool:
    """Return True if a line without its link targets is too wide and a sentence ends in it."""
    return len(LINK.sub(r"\1", line)) > WIDTH and len(_sentences(BLOCK.sub("", plain(line)))) > 1


def _sentences(words: str) -> list[str]:
    return [part for part in FULL_STOP.split(words) if part]


def _lines(path: Path) -> list[str]:
    if path.suffix != ".md":
        return []
    source = path.read_text(encoding="utf-8")
    return (_unreleased(source) if path.name == "CHANGELOG.md" else source).splitlines()


def _page(path: Path) -> Iterator[Text]:
    paragraph: list[str] = []
    begins = 0
    fenced = False
    for number, line in enumerate([*_lines(path), ""], 1):
        if FENCE.match(line):
            fenced = not fenced
        if paragraph and (not line.strip() or BLOCK.match(line) or FENCE.match(line)):
            yield Text(path, begins, Kind.PAGE, plain(" ".join(paragraph)), paragraph[0].lstrip().startswith("|"))
            paragraph = []
        if fenced or FENCE.match(line) or not line.strip():
            continue
        if not paragraph:
            begins = number
        paragraph.append(line)


def _unreleased(source: str) -> str:
    """Blank out all but the section [Unreleased], so that line numbers stay true."""
    head, mark, rest = source.partition("## [Unreleased]")
    blank = "\n" * head.count("\n")
    return blank + mark + rest.partition("\n## [")[0]


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
