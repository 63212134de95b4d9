"""Templates of the Signal's parameters p1 to p9, and of the fields that a chat sends to CXone."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sipbridge.config.header_names import NAME_CHARACTER, is_standard_header

_SHARED_NAMES = frozenset(
    {"destination", "skill", "reason", "utterance", "handoff_id", "client", "project", "pop_url", "data_json"}
)
NAMES = _SHARED_NAMES | {"call_id", "contact_id", "main_contact_id", "caller", "dialled"}
CHAT_NAMES = _SHARED_NAMES | {
    "chat_id",
    "customer.id",
    "customer.first_name",
    "customer.last_name",
    "customer.email",
    "customer.phone",
}

_HEADERS = "headers."
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_DATA = re.compile(r"data\..+")
_X_HEADER = re.compile(rf"headers\.[Xx]-{NAME_CHARACTER}+")


class SignalTemplate:
    """A text with names in braces, parsed once so that it renders quickly.

    `{{` and `}}` are literal braces. Raises `ValueError` for broken braces and unknown names.
    """

    _known: ClassVar[frozenset[str]] = NAMES
    _takes_headers: ClassVar[bool] = True

    __slots__ = ("_has_headers", "_parts", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts, names = _parse(text)
        for name in names:
            self._check_name(name)
        self.names = frozenset(names)
        self._has_headers = any(name.startswith(_HEADERS) for name in names)

    def render(self, values: Mapping[str, str]) -> str:
        """Fill in the values: `{"destination": …, "data.order": …, "headers.X-Queue": …}`.

        Header names match in any case. A name without a value becomes the empty string.
        """
        if self._has_headers:
            folded = {name.lower(): value for name, value in values.items() if name.startswith(_HEADERS)}
            values = {**values, **folded}
        return "".join([values.get(text, "") if is_name else text for is_name, text in self._parts])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, SignalTemplate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 (pydantic's own signature)
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(lambda template: template.text)
        )

    @classmethod
    def _read(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("is not text; put it in quotes")  # noqa: TRY004 (pydantic reports a ValueError as an error of the field)
        return cls(value)

    @classmethod
    def _check_name(cls, name: str) -> None:
        if name in cls._known or _DATA.fullmatch(name) or (cls._takes_headers and _is_header(name)):
            return
        near = difflib.get_close_matches(name, cls._known, n=1)
        known = [*sorted(cls._known), "data.NAME", *(["headers.X-NAME"] if cls._takes_headers else [])]
        right = f"did you mean {{{near[0]}}}?" if near else f"the known names are {', '.join(known)}"
        raise ValueError(f"has the unknown name {{{name}}}; {right}")


class ChatTemplate(SignalTemplate):
    """A template with the names of a chat: a customer instead of a caller, and no headers."""

    _known = CHAT_NAMES
    _takes_headers = False

    __slots__ = ()


def _parse(text: str) -> tuple[tuple[tuple[bool, str], ...], list[str]]:
    """Split into literals and lookup keys, for which the flag is True; also return the names as they are written."""
    parts: list[tuple[bool, str]] = []
    names: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts.append((False, text[end : token.start()]))
        end = token.end()
        name = token[1]
        if name is None:
            if len(token[0]) == 1:
                raise ValueError(f"has an unpaired `{token[0]}`; write {{name}}, or {{{{ and }}}} for literal braces")
            parts.append((False, token[0][0]))
            continue
        names.append(name)
        parts.append((True, name.lower() if name.startswith(_HEADERS) else name))
    parts.append((False, text[end:]))
    return tuple(part for part in parts if part[1]), names


def _is_header(name: str) -> bool:
    if _X_HEADER.fullmatch(name):
        return True
    return name.startswith(_HEADERS) and is_standard_header(name.removeprefix(_HEADERS))
