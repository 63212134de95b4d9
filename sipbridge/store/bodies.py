"""Conversion of records to the text of a row and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sipbridge.errors import NotStorable, StoreError

END_OF_TIME = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Model = TypeVar("Model", bound=BaseModel)


def microseconds(moment: datetime) -> int:
    """Return the exact number of microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def to_body(dump: Callable[[], str], name: str) -> str:
    """Return the JSON of a record. Raises `NotStorable`, which says `name`, if it cannot be encoded as UTF-8."""
    try:
        return dump()
    except (ValueError, TypeError) as error:  # lone surrogates, and objects of Python
        raise NotStorable(f"{name} contains text that is not valid Unicode, or a value that is not JSON") from error


def to_model(kind: type[Model], body: str) -> Model:
    """Parse a record. Raises `StoreError`, which does not quote it, if it is not valid."""
    try:
        # Not model_validate_json: its nesting limit is lower than that of `data`, which agents may use up.
        return kind.model_validate(json.loads(body))
    except (ValidationError, ValueError, RecursionError):
        raise StoreError("stored record not valid: another program has changed it") from None
