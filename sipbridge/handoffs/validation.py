"""Validation errors of requests in our own words: pydantic's change with its releases, and some quote the input."""

from __future__ import annotations

import re
from collections.abc import Collection

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

_FAULTS_SHOWN = 5
_FAULT_CHARACTERS = 200

_OTHERWISE = "is not valid"
_OBJECT = "must be an object"
_LIST = "must be a list"
_TIME = "must be an RFC 3339 time, like 2026-01-31T12:00:00Z"
_WHOLE_NUMBER = "must be a whole number"
# By pydantic's error type; the braces name fields of its context.
_TEXTS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "invalid_key": "must be text",
    "string_type": "must be text",
    "string_unicode": "must be text that UTF-8 can encode",
    "string_pattern_mismatch": "has characters that are not allowed here",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "dict_type": _OBJECT,
    "mapping_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": "must have a time zone, like Z",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be over {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be under {lt}",
    "less_than_equal": "must be at most {le}",
    "recursion_loop": "is nested too deeply",
}


def read_json(text: str | bytes | bytearray) -> object:
    """Parse JSON. Raises `ValueError`: "is not valid JSON (line 1, column 5)".

    The parser is pydantic's, which accepts up to 200 levels of nesting and numbers of up to 4,300 digits.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        found = re.search(r"line ([0-9]+) column ([0-9]+)", str(error))
        position = f" (line {found[1]}, column {found[2]})" if found else ""
        raise ValueError(f"is not valid JSON{position}") from None


def name_faults(error: ValidationError, whole: str = "") -> str:
    """Return the faults of a request's fields for its sender. The text never quotes the input.

    `whole` names the request itself, for a fault that belongs to no field.
    """
    lines = []
    for fault in error.errors(include_url=False, include_input=False)[:_FAULTS_SHOWN]:
        field = ".".join(str(part) for part in fault["loc"] if part != "[key]") or whole
        text = describe_fault(fault)
        lines.append(f"{field}: {text}"[:_FAULT_CHARACTERS] if field else text[:_FAULT_CHARACTERS])
    more = error.error_count() - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def name_first_fault(error: ValidationError, fields: Collection[str]) -> str:
    """Return the first fault for the log, which names only known fields: other keys are input."""
    fault = error.errors(include_url=False, include_input=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else ""
    return f"{field if field in fields else 'a field'} {describe_fault(fault)}"


def describe_fault(fault: ErrorDetails) -> str:
    """Return the fault of one field: "must be text"."""
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(context["error"])
    if context.get("min_length") == 1:
        return "must not be empty"
    return _TEXTS.get(fault["type"], _OTHERWISE).format(**context).replace("'", "")
