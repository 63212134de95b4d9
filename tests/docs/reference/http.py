"""The operations of the HTTP API, from the OpenAPI document that a bridge serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sipbridge.web.api.openapi import describe
from sipbridge.web.api.webhooks import WEBHOOKS
from sipbridge.web.app import ADMIN_OPERATIONS, OPERATIONS
from tests.docs.tables import anchor_of, code, table

Json = Mapping[str, Any]
_HEAD = """# HTTP operations

This page is made from the OpenAPI document of a bridge (`GET /openapi.json`).
[http-api.md](http-api.md) explains keys, limits and errors.

"""
_LIMITS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength", "maxLength", "pattern")


def page() -> str:
    """Return the page."""
    document = describe((*OPERATIONS, *ADMIN_OPERATIONS), "http://127.0.0.1:8080", WEBHOOKS)
    operations = [
        _operation(f"{method.upper()} {path}", described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]
    webhooks = [_operation(name, each["post"]) for name, each in document["webhooks"].items()]
    schemas = [_schema(name, each) for name, each in sorted(document["components"]["schemas"].items())]
    keys = document["components"]["securitySchemes"].items()
    return (
        f"{_HEAD}{''.join(_summaries(document['paths']))}\n"
        f"## Keys\n\n{table(('name', 'key'), ((code(name), each['description']) for name, each in keys))}\n"
        f"## Operations\n\n{''.join(operations)}"
        f"## Webhook requests\n\n{''.join(webhooks)}## Schemas\n\n{''.join(schemas)}"
    )


def _summaries(paths: Json) -> Iterator[str]:
    """Yield an item of a list for each operation, with a link to its section."""
    for path, methods in paths.items():
        for method, described in methods.items():
            heading = f"{method.upper()} {path}"
            yield f"- [{code(heading)}](reference/http.md#{anchor_of(heading)}): {described['summary'].rstrip('.')}\n"


def _operation(heading: str, described: Json) -> str:
    parts = [f"### `{heading}`\n\n"]
    if "summary" in described:
        parts.append(f"{described['summary'].rstrip('.')}.\n\n")
    keys = [" and ".join(each) for each in described.get("security", ()) if each]
    if keys:
        parts.append(f"It needs {' or '.join(map(code, keys))}.\n\n")
    if described.get("parameters"):
        rows = ((code(each["name"]), each["in"], _type(each["schema"])) for each in described["parameters"])
        parts.append(table(("parameter", "in", "type"), rows) + "\n")
    for media_type, content in described.get("requestBody", {}).get("content", {}).items():
        parts.append(f"Body ({code(media_type)}): {_type(content['schema'])}.\n\n")
    parts.append(table(("status", "content", "meaning"), _responses(described["responses"])) + "\n")
    return "".join(parts)


def _responses(responses: Json) -> Iterator[tuple[str, ...]]:
    for status, response in responses.items():
        schemas = dict.fromkeys(_type(content["schema"]) for content in response.get("content", {}).values())
        yield status, ", ".join(schemas), _line(response["description"])


def _schema(name: str, schema: Json) -> str:
    head = f"### {name}\n\n"
    if "description" in schema:
        head += f"{_paragraph(schema['description'])}\n\n"
    if "properties" not in schema:
        return f"{head}{_type(schema)}.\n\n"
    required = schema.get("required", ())
    rows = (
        (code(each), "yes" if each in required else "", _type(field), _line(field.get("description", "")))
        for each, field in schema["properties"].items()
    )
    return head + table(("field", "required", "type", "meaning"), rows) + "\n"


def _type(schema: Json) -> str:  # noqa: PLR0911 (one per kind of schema)
    """Return the type of a schema as Markdown for a cell, with links to other schemas."""
    match schema:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            return f"[{name}](reference/http.md#{anchor_of(name)})"
        case {"anyOf": kinds} | {"oneOf": kinds}:
            return " or ".join(map(_type, kinds))
        case {"enum": values}:
            return ", ".join(code(str(each)) for each in values)
        case {"const": value}:
            return code(str(value))
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"object of {_type(values)}"
    limits = [f"{name} {code(str(schema[name]))}" for name in _LIMITS if name in schema]
    kind = str(schema.get("type", "any"))
    return ", ".join([f"{kind} ({schema['format']})" if "format" in schema else kind, *limits])


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _paragraph(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())
