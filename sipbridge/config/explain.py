"""Pydantic's errors as problems: the key path in the file, what is wrong and what would be right, never the value."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from sipbridge.config.crosschecks import nearest
from sipbridge.config.models import Config
from sipbridge.config.problems import KeyPath, Problem
from sipbridge.config.projects import ProjectConfig, VoiceProjectConfig

_TEXTS = {
    "missing": "is missing; it is required",
    "string_type": "is not text; put it in quotes",
    "string_unicode": "holds characters that UTF-8 cannot encode; remove them",
    "string_pattern_mismatch": "has the wrong format; see docs/configuration.md",
    "int_type": "is not a whole number; write one",
    "int_parsing": "is not a whole number; write one",
    "int_parsing_size": "is too large; write a smaller number",
    "int_from_float": "is not a whole number; write one",
    "float_type": "is not a number; write one",
    "float_parsing": "is not a number; write one",
    "finite_number": "is not a finite number; write one",
    "bool_type": "is neither true nor false; write one of the two",
    "bool_parsing": "is neither true nor false; write one of the two",
    "greater_than": "is too small; it must be over {gt}",
    "greater_than_equal": "is too small; it must be at least {ge}",
    "less_than_equal": "is too large; it must be at most {le}",
    "literal_error": "is not a known value; write {expected}",
    "invalid_key": "is a key that is not text; put it in quotes",
    "tuple_type": "is not a list; write [ENTRY, …]",
    "dict_type": "is not a mapping; write KEY: VALUE below it",
    "model_type": "is not a mapping; write KEY: VALUE below it",
    "model_attributes_type": "is not a mapping; write KEY: VALUE below it",
    "path_type": "is not a path; write it as text",
    "too_short": "has too few entries; give at least {min_length}",
    "too_long": "has too many entries; give at most {max_length}",
    "string_too_short": "is too short; give at least {min_length} characters",
    "string_too_long": "is too long; give at most {max_length} characters",
    "union_tag_invalid": "is not a known type; write {expected_tags}",
    "union_tag_not_found": "is missing; it selects the type of this mapping",
}
# The error text of each pattern, by the key that the pattern applies to.
_PATTERNS = {
    "area": "is not a valid area; write it like na1",
    "api_version": "is not a valid version; write it like v30.0",
    "pseudo_numbers": "is not a valid number; write digits in quotes, with + and separators if you like",
}
_IDENTIFIER = (
    "is not a valid id; use at most 64 letters, digits, dots, hyphens and underscores, the first a letter or digit"
)


def explain(error: ValidationError) -> Iterator[Problem]:
    """Translate the errors that pydantic found in a `Config`."""
    found = error.errors(include_url=False, include_input=False)
    for details in found:
        # Pydantic also reports a list as too short if all of its entries are invalid.
        depth = len(details["loc"])
        if details["type"] == "too_short" and any(
            other["loc"][:depth] == details["loc"] and len(other["loc"]) > depth for other in found
        ):
            continue
        path, model = _locate(details["loc"])
        yield _problem(details, path, model)


def explain_value(error: ValidationError, key: str) -> str:
    """Return what is wrong with one value, in the words for that key of the file."""
    first, *_ = error.errors(include_url=False, include_input=False)
    return _problem({**first, "loc": (key,)}, (key,), None).text


def _problem(details: ErrorDetails, path: KeyPath, model: type[BaseModel] | None) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        return Problem(path, str(context["error"]))
    if model and (text := _text_of_key(kind, str(path[-1]), model)):
        return Problem(path, text)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, str(context["discriminator"]).strip("'"))
    if kind == "string_pattern_mismatch":
        return Problem(path, next((_PATTERNS[str(step)] for step in path if str(step) in _PATTERNS), _IDENTIFIER))
    if details["loc"][-1] == "[key]" and kind == "string_type":
        return Problem(path, "is a key that is not text; put it in quotes")
    if kind in ("too_short", "too_long") and context.get("field_type") == "Value":  # text that a check of ours precedes
        kind = f"string_{kind}"
    if kind == "string_too_short" and context["min_length"] == 1:
        return Problem(path, "is empty; give it a value")
    text = _TEXTS.get(kind)
    return Problem(path, text.format(**context) if text else "cannot be used; see docs/configuration.md")


def _text_of_key(kind: str, key: str, model: type[BaseModel]) -> str | None:
    """Return what is wrong with a key of a model, whatever its value is."""
    if kind == "extra_forbidden" and model is ProjectConfig and key in VoiceProjectConfig.model_fields:
        return "has no effect without a voice agent; remove it, or give agent and handoff"
    if kind == "extra_forbidden":
        return f"is an unknown key; {nearest(key, model.model_fields)}"
    if kind == "missing" and model is VoiceProjectConfig and key == "agent":
        return "is missing; a project needs agent and handoff, a chat section, or both"
    return None


def _locate(location: tuple[int | str, ...]) -> tuple[KeyPath, type[BaseModel] | None]:
    """Convert pydantic's location to the key path, and find the model that the last key belongs to.

    Pydantic adds the tag of a tagged union, and `[key]` for an error of a key itself. Neither is a key of the file.
    """
    path: list[object] = []
    here: Any = Config
    parent: type[BaseModel] | None = None
    for step in location:
        if step == "[key]":
            continue
        variants = _variants(here)
        if variants:
            here = variants[str(step)]
            continue
        path.append(step)
        here = _bare(here)
        parent = here if isinstance(here, type) and issubclass(here, BaseModel) else None
        here = _below(here, step)
    return tuple(path), parent


def _below(annotation: Any, step: int | str) -> Any:  # noqa: ANN401 (an annotation can be anything)
    """Return the annotation one step further down the location."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(step))
        return field.annotation if field else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    return None


def _bare(annotation: Any) -> Any:  # noqa: ANN401 (an annotation can be anything)
    """Return an annotation without its metadata and without `| None`."""
    while get_origin(annotation) is Annotated or type(None) in get_args(annotation):
        annotation = get_args(annotation)[0]
    return annotation


def _variants(annotation: Any) -> dict[str, type[BaseModel]]:  # noqa: ANN401 (an annotation can be anything)
    """Return the models of a tagged union by their tags, or nothing for any other annotation."""
    annotation = _bare(annotation)
    if get_origin(annotation) not in (Union, UnionType):
        return {}
    tagged = [get_args(member) for member in get_args(annotation) if get_origin(member) is Annotated]
    if tagged:
        return {mark.tag: model for model, mark, *_ in tagged if isinstance(mark, Tag)}
    return {
        get_args(model.model_fields[tag].annotation)[0]: model
        for model in get_args(annotation)
        if isinstance(model, type) and issubclass(model, BaseModel)
        for tag in ("type", "method")
        if tag in model.model_fields
    }
