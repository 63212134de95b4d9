"""Parses the query and the body of a request into models."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from sipbridge.errors import BadRequest
from sipbridge.handoffs.validation import name_faults, name_first_fault, read_json
from sipbridge.web.server.errors import BodyInvalid, BodyNotJson, BodyTooLarge, BodyTooSlow, UnsupportedEncoding

MAX_BODY_BYTES = 1_000_000
BODY_SECONDS = 10.0
_TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES} bytes"

BODY_REFUSALS = (BadRequest, BodyNotJson, BodyTooSlow, BodyTooLarge, UnsupportedEncoding, BodyInvalid)

M = TypeVar("M", bound=BaseModel)


def read_query(model: type[M], request: web.Request) -> M:
    """Parse the query. Of a repeated parameter the first counts. Raises `BadRequest`."""
    if _is_empty(model):
        return model()
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise BadRequest(name_faults(error)) from None


async def read_body(model: type[M], request: web.Request) -> M:
    """Parse a JSON body; an empty body is `{}`. Raises one of `BODY_REFUSALS`."""
    if _is_empty(model):
        return model()
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedEncoding("send the body uncompressed, without Content-Encoding")
    text = await _read_bytes(request)
    try:
        value = read_json(text) if text.strip() else {}
    except ValueError as error:
        raise BodyNotJson(f"the body {error}") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BodyInvalid(name_faults(error), name_first_fault(error, model.model_fields)) from None


@cache  # pydantic looks the fields of a class up in several steps
def _is_empty(model: type[BaseModel]) -> bool:
    """True for a model without fields, for which nothing is read."""
    return not model.model_fields


async def _read_bytes(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLarge(_TOO_LARGE)
    try:
        if request.content.is_eof():  # the usual case, without the cost of a timer: it came with the head
            return await request.read()
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {BODY_SECONDS:.0f} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(_TOO_LARGE) from None
    except web.RequestPayloadError:
        raise BadRequest("the body is incomplete, or its chunked encoding is not valid") from None
