"""The OpenAPI 3.1 document of the API, built from the declarations of the operations."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sipbridge import __version__
from sipbridge.chats.model import ATTACHMENT_ID_PATTERN
from sipbridge.chats.request import CHAT_ID_PATTERN
from sipbridge.web.api.operation import CALL_ID_PATTERN, AnyOperation, Empty, Operation, RequestContext, Response
from sipbridge.web.api.schemas import ErrorResponse, OpenApiDocument
from sipbridge.web.api.webhooks import Webhook, describe_webhook
from sipbridge.web.server.auth import KEY_HEADER, Access

Json = dict[str, Any]
Schemas = dict[Any, Json]  # by model and mode: "validation" of request bodies, "serialization" of responses

DOCUMENT = web.AppKey("document", partial[bytes])

_KEYS = {
    "project_key": "One of the project's `api_keys`. A call in progress accepts the keys that it began with.",
    "admin_key": "One of `http.admin.keys`.",
}
_SECURITY: dict[Access, list[Json]] = {
    Access.PUBLIC: [],
    Access.PROJECT: [{"project_key": []}],
    Access.CHAT_STREAM: [{"project_key": []}],
    Access.ADMIN: [{"admin_key": []}],
    Access.ADMIN_PAGE: [],
    Access.BOX: [{"box_token": []}],
    Access.BOX_CREDENTIALS: [],
}
_PATH_PARAMETERS = {
    "account_id": {"type": "string"},
    "project_id": {"type": "string"},
    "call_id": {"type": "string", "pattern": f"^{CALL_ID_PATTERN}$"},
    "chat_id": {"type": "string", "pattern": f"^{CHAT_ID_PATTERN}$"},
    "attachment_id": {"type": "string", "pattern": f"^{ATTACHMENT_ID_PATTERN}$"},
    "channel": {"type": "string"},
    "channel_id": {"type": "string"},
    "thread_id": {"type": "string"},
    "post_id": {"type": "string"},
    "token": {"type": "string"},
    "name": {"type": "string"},
}


async def get_openapi(context: RequestContext[Empty, Empty]) -> web.Response:
    """Return the document of this application. Many bridges are never asked for it, and calls must not wait for it."""
    document = await asyncio.to_thread(context.request.app[DOCUMENT])
    return web.Response(body=document, content_type="application/json")


@cache
def serialize(operations: tuple[AnyOperation, ...], server_url: str, webhooks: tuple[Webhook, ...]) -> bytes:
    """Return the document as JSON. Takes a tenth of a second, far longer than the rest of an application."""
    return orjson.dumps(describe(operations, server_url, webhooks))


def describe(operations: Sequence[AnyOperation], server_url: str, webhooks: Sequence[Webhook] = ()) -> Json:
    """Build the document. `webhooks` are the requests that the bridge itself sends."""
    models = [*_models(operations), *((webhook.body, "serialization") for webhook in webhooks)]
    schemas, definitions = models_json_schema(list(dict.fromkeys(models)), ref_template="#/components/schemas/{model}")
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sipbridge", "version": __version__},
        "servers": [{"url": server_url}],
        "paths": paths,
        "webhooks": {each.name: {"post": describe_webhook(each, schemas)} for each in webhooks},
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                name: {"type": "apiKey", "in": "header", "name": KEY_HEADER, "description": text}
                for name, text in _KEYS.items()
            }
            | {"box_token": {"type": "http", "scheme": "bearer", "description": "A token that the box has issued."}},
        },
    }


def _models(
    operations: Iterable[AnyOperation],
) -> Iterable[tuple[type[BaseModel], Literal["validation", "serialization"]]]:
    yield ErrorResponse, "serialization"
    for operation in operations:
        if operation.response.model:
            yield operation.response.model, "serialization"
        for shape in _body_shapes(operation):
            yield shape, "validation"


def _body_shapes(operation: AnyOperation) -> list[type[BaseModel]]:
    return [shape for shape in (operation.body, operation.also) if shape and shape.model_fields]


def _operation(operation: AnyOperation, schemas: Schemas) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": _SECURITY[operation.access],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation, schemas),
    }
    shapes = _body_shapes(operation)
    if shapes:
        references = [schemas[shape, "validation"] for shape in shapes]
        described["requestBody"] = {
            "required": any(field.is_required() for field in operation.body.model_fields.values()),
            "content": {"application/json": {"schema": {"anyOf": references} if len(shapes) > 1 else references[0]}},
        }
    return described


def _path_parameters(operation: AnyOperation) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _query_parameters(operation: AnyOperation) -> list[Json]:
    schema = operation.query.model_json_schema()
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": details}
        for name, details in schema.get("properties", {}).items()
    ]


def _responses(operation: AnyOperation, schemas: Schemas) -> Json:
    response = operation.response
    schema = schemas[response.model, "serialization"] if response.model else {"type": "string"}
    page: Json = {"text/html": {"schema": {"type": "string"}}} if operation.page else {}
    content = {"content": {response.media_type: {"schema": schema}, **page}} if response.media_type else {}
    responses: Json = {str(response.status): {"description": response.description, **content}}
    reasons: dict[int, list[str]] = {500: ["The service itself failed."], 503: ["The store failed."]}
    for refusal in operation.refusals:
        reasons.setdefault(refusal.http_status, []).append((refusal.__doc__ or "").strip().partition("\n")[0])
    error = {"application/json": {"schema": schemas[ErrorResponse, "serialization"]}, **page}
    for status, texts in sorted(reasons.items()):
        responses[str(status)] = {"description": " ".join(texts), "content": error}
    return responses


OPERATIONS = (
    Operation(
        method="GET",
        path="/openapi.json",
        summary="The description of this API",
        handler=get_openapi,
        response=Response(200, "An OpenAPI 3.1 document", OpenApiDocument),
        query=Empty,
        body=Empty,
        access=Access.PUBLIC,
    ),
)
