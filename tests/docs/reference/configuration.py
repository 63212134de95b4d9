"""The keys of the configuration: types, defaults and limits from the models, meanings from docs/configuration.md."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from sipbridge.config import Config
from sipbridge.config.fields import Section
from sipbridge.config.signal_template import SignalTemplate
from tests.docs.tables import Table, anchors_of, code, table, tables_of

_HEAD = """# Configuration keys

This page is made from the program's models: each key with its type and default.
[configuration.md](configuration.md) explains how values are written, and what belongs together.
`*` in a path stands for a name that you choose.

"""
_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", SecretStr: "secret", Path: "path"}
_LIMITS = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))


def page() -> str:
    """Return the page."""
    return _HEAD + "".join(
        f"## `{path}`\n\n{table(('key', 'type', 'default', 'meaning'), _rows(path, section))}\n"
        for path, section in sections()
    )


def sections() -> list[tuple[str, type[Section]]]:
    """Return all sections of the file with their paths, in the order of the file."""
    return [("the file", Config), *_inner(Config, "")]


def _inner(section: type[Section], path: str) -> Iterator[tuple[str, type[Section]]]:
    for name, field in section.model_fields.items():
        found = list(_sections_in(field.annotation))
        for several, inner_section in found:
            if any(other is not inner_section and issubclass(other, inner_section) for _, other in found):
                continue  # the other kind has all of its keys
            inner = f"{path}{name}{'.*' if several else ''}"
            variant = _variant(inner_section)
            yield f"{inner} ({variant})" if variant else inner, inner_section
            yield from _inner(inner_section, f"{inner}.")


def _sections_in(annotation: object, *, several: bool = False) -> Iterator[tuple[bool, type[Section]]]:
    """Yield the sections that a type has in it, and True if they are in a mapping."""
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        yield several, annotation
    origin = get_origin(annotation)
    in_mapping = several or (inspect.isclass(origin) and issubclass(origin, Mapping))
    for argument in get_args(annotation):
        yield from _sections_in(argument, several=in_mapping)


def _variant(section: type[Section]) -> str:
    """Return the `type` or `method` of a section that has several kinds."""
    for name in ("type", "method"):
        field = section.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal:
            return f"{name}: {get_args(field.annotation)[0]}"
    return ""


def _rows(path: str, section: type[Section]) -> Iterator[tuple[str, ...]]:
    explained = explanation(section)
    for name, field in section.model_fields.items():
        row = explained.row(name) if explained else None
        default = "required" if field.is_required() else code(default_of(field))
        meaning = row["meaning"] if row else f"See [there](configuration.md#{_anchor(f'{path}.{name}')})."
        yield code(name), _type_of_field(field), default, meaning


def explanation(section: type[Section]) -> Table | None:
    """Return the table of docs/configuration.md with the keys of a section and no others."""
    keys = set(section.model_fields)
    found = [each for each in tables_of("configuration.md") if each.columns[0] == "key" and each.words <= keys]
    return max(found, key=lambda each: len(each.words), default=None)


def _anchor(path: str) -> str:
    """Return the anchor of the heading about a key that no table has: its own, or that of the section around it."""
    anchors = anchors_of("configuration.md")
    for name in reversed(re.findall(r"\w+", path)):
        for anchor in anchors:
            if anchor in (name, f"{name}s") or anchor.startswith(f"{name}-"):
                return anchor
    return anchors[0]


def default_of(field: FieldInfo) -> str:
    """Return the default of a key as YAML writes it; empty if it is a section."""
    return _yaml(field.get_default(call_default_factory=True, validated_data={}))


def _yaml(value: object) -> str:  # noqa: PLR0911 (one per kind of value)
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Section():
            return ""
        case str():
            return value or '""'
        case SignalTemplate():
            return value.text
        case Mapping():
            return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
        case Sequence() | frozenset():
            return "[" + ", ".join(map(_yaml, value)) + "]"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _type_of_field(field: FieldInfo) -> str:
    return _limited(_type(field.annotation), field.metadata)


def _type(annotation: Any) -> str:  # noqa: ANN401, PLR0911 (any type; one per kind)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _limited(_type(arguments[0]), arguments[1:])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_type, arguments)))
    if origin is Literal:
        return ", ".join(code(str(each)) for each in arguments)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"mapping of {_type(arguments[1])}"
    if origin in (tuple, list, frozenset):
        return f"list of {_type(arguments[0])}"
    if annotation is type(None):
        return "null"
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        variant = _variant(annotation)
        return f"section ({variant})" if variant else "section"
    return _NAMES.get(annotation, "text")


def _limited(kind: str, metadata: Sequence[Any]) -> str:
    """Return a type with the limits of its numbers."""
    limits = [
        f"{word} {limit:,}"
        for attribute, word in _LIMITS
        for constraint in metadata
        if (limit := getattr(constraint, attribute, None)) is not None
    ]
    return ", ".join([kind, *limits])
