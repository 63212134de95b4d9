"""The errors of the API: a code of a fixed set, and a message of our own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from sipbridge.errors import ErrorCode, RequestRefused
from tests.store.records import make_record
from tests.web.conftest import Bridge

CODES = set(get_args(ErrorCode))
API_PAGE = Path(__file__).parents[3] / "docs" / "http-api.md"
# Codes without a class: errors of aiohttp, and internal errors.
OTHERS = {"method_not_allowed", "store_unavailable", "internal_error"}
BAD_VALUES: list[Any] = [7, 1.5, True, [], ["x"], {}, {"x": 1}, "", "x" * 70_000, "a\nb", "\x00"]


def _classes(parent: type[RequestRefused]) -> Iterator[type[RequestRefused]]:
    for child in parent.__subclasses__():
        yield child
        yield from _classes(child)


def test_every_code_is_documented_with_its_statuses() -> None:
    table = API_PAGE.read_text().partition("## Errors")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| ([0-9, ]+) \|", table, re.MULTILINE))
    assert set(documented) == CODES
    for each in _classes(RequestRefused):
        assert str(each.http_status) in documented[each.code], each


def test_every_code_is_in_use() -> None:
    assert {each.code for each in _classes(RequestRefused)} | OTHERS == CODES


FIELDS = ("destination", "reason", "utterance", "route", "method", "sip_headers", "parameters", "data", "shared_id")


@pytest.mark.parametrize("field", [*FIELDS, "transcript", "handoff", "unheard_of"])
async def test_no_error_of_a_handoff_has_pydantics_text(bridge: Bridge, field: str) -> None:
    bridge.directory.add(make_record())
    for value in BAD_VALUES:
        _, response = await bridge.post("calls/call-1/handoff", body={field: value})
        check_words(response)


@pytest.mark.parametrize("field", ["role", "text", "at"])
async def test_no_error_of_a_turn_has_pydantics_text(bridge: Bridge, field: str) -> None:
    bridge.directory.add(make_record())
    for value in [*BAD_VALUES, "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01 x"]:
        turn = {"role": "agent", "text": "Hello", field: value}
        bodies: list[dict[str, Any]] = [turn, {"turns": [turn]}, {"turns": turn}, {"turns": []}]
        for body in bodies:
            check_words((await bridge.post("calls/call-1/turns", body=body))[1])


@pytest.mark.parametrize("query", ["limit=x", "limit=0", "limit=201", "limit=1.5", "before=x", "before=2026-01-01T00"])
async def test_no_error_of_a_query_has_pydantics_text(bridge: Bridge, query: str) -> None:
    status, response = await bridge.get(f"calls?{query}")
    assert (status, response["code"]) == (400, "invalid_request")
    check_words(response)


def check_words(response: dict[str, Any]) -> None:
    if "error_message" not in response:
        return
    assert response["code"] in CODES
    message = response["error_message"]
    assert not re.search(r"[Ii]nput|should|Value error|[Ee]xtra|required|valid |cannot be used", message), message


async def test_an_error_says_what_the_value_must_be(bridge: Bridge) -> None:
    bridge.directory.add(make_record())
    body: dict[str, Any] = {
        "destination": 7,
        "transcript": [{"role": "bot", "text": ""}, {"text": "x"}],
        "method": "x",
        "other": 1,
    }
    _, response = await bridge.post("calls/call-1/handoff", body=body)
    assert response == {
        "error_message": (
            "destination: must be text; method: must be release, refer or invite;"
            " transcript.0.role: must be agent or caller; transcript.0.text: must not be empty;"
            " transcript.1.role: is missing; and 1 more"
        ),
        "code": "invalid_request",
    }
