"""No route of the application shows data of one project with the key of another."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from sipbridge.calls.events import CallStarted
from sipbridge.chats.happenings import ContactClosed
from sipbridge.chats.model import AttachmentFile, BotMessage
from sipbridge.chats.ports import ChatChange, LiveChat
from sipbridge.chats.request import ChatRequest
from sipbridge.handoffs.record import Turn
from sipbridge.web import make_app
from tests.fakes import FakeStore, Journal
from tests.store.records import make_handoff, make_record

from .conftest import Bridge
from .fakes import ADMIN_KEY, KEY, OTHER_KEY, SALES_KEY, make_config

# Part of every text of the calls that must not be shown.
MARK = "of-the-other-project"
FILE = AttachmentFile(id="0123456789abcde", name=MARK, media_type="text/plain", content=MARK.encode())
# By the end of a path, the body of a request that would be accepted if the key were right.
BODIES: dict[str, Any] = {
    "turns": {"role": "agent", "text": "x"},
    "messages": {"id": "m1", "text": "x"},
    "typing": {"state": "started"},
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    """Return the routes of a project from the application's own table, so that new ones are included.

    Routes with a slash at the end have the same handlers and are left out. Those of boxes have tokens instead of keys.
    """
    bridge = Bridge(make_config(), FakeStore(Journal()), None)  # type: ignore[arg-type]  # only its routes are used
    found = [
        Route(route.method, route.resource.canonical)
        for route in make_app(bridge.deps()).router.routes()
        if route.resource is not None and "{account_id}" in route.resource.canonical
        if not route.resource.canonical.endswith("/")
        if not route.resource.canonical.startswith("/byoc/")
    ]
    assert len(found) >= 20
    return found


ROUTES = routes()
IDS = [str(route) for route in ROUTES]


@pytest.fixture(autouse=True)
async def chats(bridge: Bridge) -> None:
    """A live and an ended chat of the project `sales`, each with a message of the bot."""
    chats = bridge.fake_chats
    for chat_id in ("live", "ended"):
        request = {
            "id": f"{chat_id}-{MARK}",
            "shared_id": f"shared-{MARK}",
            "customer": {"first_name": MARK},
            "utterance": MARK,
            "data": {MARK: MARK},
            "transcript": [{"role": "customer", "text": MARK}],
        }
        await chats.reception.start("acme", "sales", ChatRequest.model_validate(request))
        chat = live_chat(bridge, f"{chat_id}-{MARK}")
        await chat.accept_message(BotMessage(id="m0", text=MARK, at=datetime.now(UTC)))
        await chats.store.write(ChatChange(chat.record.uid, None, [FILE]))
        if chat_id == "ended":
            chats.channels["acme", "sales", "web"].happens(ContactClosed())
            while chats.reception.active > 1:  # noqa: ASYNC110 (nothing signals the end)
                await asyncio.sleep(0)


def live_chat(bridge: Bridge, chat_id: str) -> LiveChat:
    chat = bridge.fake_chats.registry.find("acme", "sales", chat_id)
    assert chat is not None
    return chat


async def state_of_chats(bridge: Bridge) -> list[Any]:
    """Return all that requests to the chats of `sales` can change, and the number of all chats."""
    chats = bridge.fake_chats
    stored = [await chats.store.read(record.uid) for record in await chats.store.list_chats("acme", "sales", limit=9)]
    sessions = chats.channels["acme", "sales", "web"].sessions
    return [
        [(each.messages, each.end_request, each.record.state.is_final) for each in stored if each],
        [session.typing for session in sessions],
        chats.reception.active,
    ]


@pytest.fixture(autouse=True)
async def calls(bridge: Bridge) -> None:
    """A live and an ended call of the project `sales`, for requests with the keys of other projects."""
    for call_id in ("live", "ended"):
        record = make_record(
            f"{call_id}-{MARK}",
            project="sales",
            contact_id=f"contact-{MARK}",
            caller=MARK,
            dialled=MARK,
            transcript=(Turn(role="caller", text=MARK),),
            handoff=make_handoff(shared_id=f"shared-{MARK}", utterance=MARK, data={MARK: MARK})
            if call_id == "ended"
            else None,
        )
        if call_id == "live":
            bridge.directory.add(record)
        else:
            await bridge.store.put(record)


async def request(
    bridge: Bridge, route: Route, key: str | None, call_id: str, *, project: str = "sales"
) -> tuple[int, str]:
    """Request a call or chat in every way that the route has: by path, by id, by shared id.

    Its id is replaced in the response, which may repeat that of the request.
    """
    path = route.path.format(
        account_id="acme", project_id=project, call_id=call_id, chat_id=call_id, attachment_id=FILE.id
    )
    query = {"id": call_id, "shared_id": re.sub("^[a-z]+", "shared", call_id)}
    headers = {"x-api-key": key} if key else {}
    given = {"id": call_id} if path.endswith("chats") else BODIES.get(path.rpartition("/")[2], {})
    body = json.dumps(given).encode() if route.method == "POST" else None
    async with bridge.session.request(
        route.method, bridge.base + path, params=query, headers=headers, data=body
    ) as response:
        return response.status, (await text_of(response)).replace(call_id, "ID")


async def text_of(response: aiohttp.ClientResponse) -> str:
    """Return the body, or the first bytes of a stream."""
    try:
        async with asyncio.timeout(0.2 if response.content_type == "text/event-stream" else None):
            return await response.text()
    except TimeoutError:
        return ""


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
@pytest.mark.parametrize(
    ("key", "status"), [(None, 401), ("wrong", 401), (ADMIN_KEY, 401), (KEY, 403), (OTHER_KEY, 403)]
)
async def test_the_response_to_another_projects_key_does_not_depend_on_what_exists(
    bridge: Bridge, route: Route, key: str | None, status: int
) -> None:
    before, chats_before = bridge.directory.calls[0].record, await state_of_chats(bridge)
    responses = {await request(bridge, route, key, f"{call_id}-{MARK}") for call_id in ("live", "ended", "none")}
    responses.add(await request(bridge, route, key, "none", project="unknown"))
    [(found, body)] = responses
    assert found == status
    assert MARK not in body
    call = bridge.directory.calls[0]
    assert (call.record, call.requests, call.hung_up, call.turns) == (before, [], False, [])
    assert await bridge.store.get("acme", "sales", f"ended-{MARK}")
    assert await state_of_chats(bridge) == chats_before


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
async def test_a_projects_key_shows_no_call_or_chat_of_another_project(bridge: Bridge, route: Route) -> None:
    before = await state_of_chats(bridge)
    responses = {
        await request(bridge, route, KEY, f"{call_id}-{MARK}", project="billing")
        for call_id in ("live", "ended", "none")
    }
    assert len(responses) == 1, "a call or chat of another project gets the response of an unknown one"
    [(status, body)] = responses
    starts = route == Route("POST", "/v1/{account_id}/{project_id}/chats")
    assert status in ((202,) if starts else (200, 404)), route
    assert MARK not in body
    assert not bridge.directory.calls[0].requests
    assert await bridge.store.get("acme", "sales", f"ended-{MARK}")
    assert (await state_of_chats(bridge))[:2] == before[:2]


async def test_a_stream_has_events_of_its_own_project_only(bridge: Bridge) -> None:
    async with bridge.session.get(bridge.url("events"), headers={"x-api-key": KEY}) as response:
        bridge.report(CallStarted(bridge.directory.calls[0].record))
        bridge.report(CallStarted(make_record("ours")))
        lines = [(await response.content.readline()).decode() for _ in range(3)]
    assert "ours" in lines[2]
    assert MARK not in "".join(lines)


async def test_a_projects_key_shows_its_own_calls_and_chats(bridge: Bridge) -> None:
    """With the right key the mark is shown; otherwise the tests above could not fail."""
    shown = [await request(bridge, route, SALES_KEY, f"ended-{MARK}") for route in ROUTES if route.method == "GET"]
    assert [status for status, _ in shown] == [200] * len(shown)
    assert len([body for _, body in shown if MARK in body]) >= 5
