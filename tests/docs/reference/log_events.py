"""The log events: levels and messages from the code's calls of `logging`, meanings from docs/operations.md.

The fields are those of the page as well. If it names none, they are those in the code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.tables import code, table, tables_of

_PACKAGE = Path(__file__).resolve().parents[3] / "sipbridge"
# Programs of their own, with no log; and events of a protocol.
_NO_LOGS = ("simulators", "agents/websocket")
_NOTHING = ast.Pass()
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
_HEAD = """---
hide:
  - toc
---

# Log events

This table is made from the program's calls of `logging`.
[metrics.md](metrics.md#logs) describes the lines, and [operations.md](operations.md#log-events) the rules for them.
`…` in a message stands for a value.

"""


@dataclass(frozen=True)
class LogCall:
    """One call of `logging` in the code, with the value of `event`."""

    event: str
    level: str
    message: str
    fields: tuple[str, ...]
    file: str


def page() -> str:
    """Return the page."""
    return _HEAD + table(("event", "level", "messages", "fields", "meaning", "code"), _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    explained = [each for each in tables_of("operations.md") if each.columns[0] == "`event`"]
    calls = log_calls()
    for event in sorted({call.event for call in calls}):
        found = [call for call in calls if call.event == event]
        row = next((row for each in explained if (row := each.row(event))), {})
        files = sorted({call.file for call in found})
        yield (
            code(event),
            ", ".join(sorted({call.level for call in found})),
            "; ".join(dict.fromkeys(code(call.message) for call in found if call.message)),
            row.get("further fields")
            or " ".join(dict.fromkeys(code(field) for call in found for field in call.fields)),
            row.get("meaning", ""),
            ", ".join(f"[{Path(file).name}](../sipbridge/{file})" for file in files),
        )


def log_calls() -> list[LogCall]:
    """Return all calls of `logging` in the program that have an event."""
    return [
        call
        for path in sorted(_PACKAGE.rglob("*.py"))
        if not str(path.relative_to(_PACKAGE)).startswith(_NO_LOGS)
        for call in _calls_in(path)
    ]


def _calls_in(path: Path) -> Iterator[LogCall]:
    file = str(path.relative_to(_PACKAGE))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Attribute(value=logger, attr=level)) if level in _LEVELS and _is_logger(logger):
                    message = node.args[1 if level == "log" else 0]
                    for keyword in node.keywords:
                        for event, fields in (
                            _events(keyword.value, _block(function, node), functions) if keyword.arg == "extra" else ()
                        ):
                            yield LogCall(event, _level(level, node), _text(message), fields, file)
                case ast.Call(func=ast.Attribute(attr="_log"), args=[ast.Constant(value=str(event)), message, *_]):
                    yield LogCall(event, _level_of_helper(functions), _text(message), (), file)


def _block(function: ast.AST, call: ast.Call) -> ast.AST:
    """Return the branch of a `match` with a call, or the whole function: each branch has variables of its own."""
    branches = (each for each in ast.walk(function) if isinstance(each, ast.match_case))
    return next((each for each in branches if any(node is call for node in ast.walk(each))), function)


def _is_logger(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "logger") or (
        isinstance(node, ast.Attribute) and node.attr in ("logger", "_logger")
    )


def _events(
    extra: ast.AST, block: ast.AST, functions: Sequence[ast.FunctionDef | ast.AsyncFunctionDef]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return the events, each with its other fields, that the `extra` of a call may have.

    Variables of the block and functions of the module are followed, each for one step.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(extra):
        match node:
            case ast.Dict(keys=keys, values=texts):
                named = {
                    key.value: text for key, text in zip(keys, texts, strict=True) if isinstance(key, ast.Constant)
                }
                fields = tuple(str(each) for each in named if each != "event")
                found += [(event, fields) for event in _texts(named.get("event"))]
            case ast.Call(func=ast.Name(id="_extra"), args=[ast.Constant(value=str(event)), *_]):
                found.append((event, ()))
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value="event"))], value=given):
                found += [(event, ()) for event in _texts(given)]
            case ast.Name(id=name, ctx=ast.Load()):
                for value in ast.walk(block):
                    if _assigns(value, name):
                        found += _events(value, _NOTHING, functions)
                for helper in functions:
                    if helper.name == name:
                        found += _events(helper, helper, ())
    return found


def _assigns(node: ast.AST, name: str) -> bool:
    """True if a statement assigns to a variable or to an entry of it."""
    match node:
        case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)):
            return found == name
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=found))]):
            return found == name
        case _:
            return False


def _texts(node: ast.expr | None) -> list[str]:
    """Return the texts that an expression may be: one, or one of two."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=first, orelse=second):
            return [*_texts(first), *_texts(second)]
        case _:
            return []


def _level(method: str, call: ast.Call) -> str:
    if method == "exception":
        return "error"
    return method if method != "log" else "/".join(_level_names(call.args[0])) or "varies"


def _level_names(node: ast.expr) -> list[str]:
    return [each.attr.lower() for each in ast.walk(node) if isinstance(each, ast.Attribute)]


def _level_of_helper(functions: Sequence[ast.FunctionDef | ast.AsyncFunctionDef]) -> str:
    """Return the level at which the module's own `_log` writes."""
    methods = (
        node.func.attr
        for helper in functions
        if helper.name == "_log"
        for node in ast.walk(helper)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS
    )
    return next(methods, "varies")


def _text(message: ast.expr) -> str:
    """Return a message with `…` for its values; empty if all of it is a value."""
    match message:
        case ast.Constant(value=str(text)):
            shown = text
        case ast.JoinedStr(values=parts):
            shown = "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in parts)
        case _:
            shown = ""
    shown = re.sub(r"…+", "…", re.sub(r"%[-+.0-9]*[sdgf]", "…", shown))
    return "" if shown.strip() == "…" else shown
