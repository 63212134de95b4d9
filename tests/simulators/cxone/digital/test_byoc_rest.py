from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.byoc.throttle import Throttle
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk

from .byoc_client import BASE, POST, a_message, a_token

ADA, *_ = DEMO_AGENTS


class Api:
    """DFO REST with a token."""

    def __init__(self, http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self.http = http
        self.headers = headers

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        async with self.http.request(method, path, json=body, headers=self.headers | headers) as response:
            self.response_headers = response.headers
            content = await response.read()
            return response.status, await response.json() if content else None


@pytest.fixture
async def api(http: aiohttp.ClientSession) -> Api:
    return Api(http, await a_token(http))


async def test_a_message_opens_a_contact_with_the_custom_fields(api: Api, desk: Desk) -> None:
    fields = {"customFields": [{"ident": "reason", "value": "billing"}]}
    status, body = await api("POST", POST, a_message(contact=fields))
    assert status == 201
    (conversation,) = desk.conversations()
    assert body["consumerContact"]["id"] == conversation.id
    assert body["consumerContact"]["status"] == "new"
    assert body["message"]["idOnExternalPlatform"] == "m-1"
    assert (conversation.kind, conversation.thread_id, conversation.fields) == (
        "byoc",
        "thread-1",
        {"reason": "billing"},
    )
    assert conversation.customer.name == "Grace Hopper"


async def test_the_next_message_of_the_thread_goes_to_the_same_contact(api: Api, desk: Desk) -> None:
    await api("POST", POST, a_message())
    status, _ = await api("POST", POST, a_message("again", idOnExternalPlatform="m-2"))
    assert status == 201
    (conversation,) = desk.conversations()
    assert [message.content.text for message in conversation.messages] == ["hello", "again"]


async def test_a_message_after_the_close_opens_another_contact(api: Api, desk: Desk) -> None:
    _, first = await api("POST", POST, a_message())
    desk.conversations()[0].set_status("closed", by="agent")
    _, second = await api("POST", POST, a_message(idOnExternalPlatform="m-2"))
    assert first["consumerContact"]["id"] != second["consumerContact"]["id"]


async def test_the_same_id_again_makes_a_second_message_unless_it_deduplicates(api: Api, desk: Desk) -> None:
    for _ in range(2):
        assert (await api("POST", POST, a_message()))[0] == 201
    await api("PATCH", "/simulator/byoc/settings", {"deduplicate": True})
    assert (await api("POST", POST, a_message()))[0] == 200
    assert len(desk.conversations()[0].messages) == 2


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("direction", {"direction": "sideways"}),
        ("createdAtWithMilliseconds", {"createdAtWithMilliseconds": "2026-11-28T19:00:00"}),
        ("thread", {"thread": {}}),
        ("messageContent", {"messageContent": {"type": "TEXT", "payload": {}}}),
        ("authorEndUserIdentity", {"authorEndUserIdentity": {"firstName": "Grace"}}),
        ("contact", {"contact": {"customFields": [{"ident": "a", "value": "x" * 1025}]}}),
        ("attachments", {"attachments": [{"url": "ftp://a/b", "friendlyName": "b"}]}),
        ("skill", {"skill": 1}),
        ("", {"messageContent": {"type": "TEXT", "payload": {"text": ""}}}),
    ],
)
async def test_a_bad_message_is_refused_with_its_field(
    api: Api, desk: Desk, field: str, changes: dict[str, Any]
) -> None:
    status, body = await api("POST", POST, a_message(**changes))
    assert status == 400
    assert body["errors"][0]["field"].startswith(field)
    assert desk.conversations() == []


async def test_a_request_needs_a_token_and_a_channel(http: aiohttp.ClientSession, api: Api) -> None:
    assert (await Api(http, {})("POST", POST, a_message()))[0] == 401
    assert (await api("POST", f"{BASE}/channels/other/messages", a_message()))[0] == 404


async def test_a_message_is_found_by_its_id(api: Api) -> None:
    _, posted = await api("POST", POST, a_message())
    status, body = await api("GET", f"{BASE}/messages?idOnExternalPlatform[]=m-1&idOnExternalPlatform[]=m-9")
    assert (status, body["hits"]) == (200, 1)
    assert body["data"][0]["id"] == posted["message"]["id"]
    assert (await api("GET", f"{BASE}/messages?idOnExternalPlatform[]=m-9"))[1]["data"] == []
    assert (await api("GET", f"{BASE}/messages"))[0] == 400
    assert (await api("GET", f"{BASE}/messages?id=m-1"))[0] == 400


async def test_a_contact_shows_its_status_and_human_agent(api: Api, desk: Desk) -> None:
    await api("POST", POST, a_message())
    (conversation,) = desk.conversations()
    path = f"{BASE}/contacts/{conversation.id}"
    assert (await api("GET", path))[1]["inboxAssignee"] is None
    conversation.accept(ADA)
    contact = (await api("GET", path))[1]
    assert (contact["status"], contact["inboxAssignee"], contact["inboxAssigneeUser"]["firstName"]) == (
        "open",
        ADA.id,
        "Ada",
    )
    assert (await api("GET", f"{BASE}/contacts/1"))[0] == 404


async def test_contacts_are_listed_in_pages(api: Api) -> None:
    await api("PATCH", "/simulator/byoc/settings", {"page_size": 2})
    for number in range(3):
        thread = {"idOnExternalPlatform": f"thread-{number}"}
        await api("POST", POST, a_message(thread=thread, idOnExternalPlatform=f"m-{number}"))
    query = f"{BASE}/contacts?endUserIdOnExternalPlatform[]=customer-1&status[]=new"
    first = (await api("GET", query))[1]
    assert (first["hits"], len(first["data"])) == (3, 2)
    second = (await api("GET", f"{query}&scrollToken={first['scrollToken']}"))[1]
    assert [each["threadIdOnExternalPlatform"] for each in second["data"]] == ["thread-2"]
    assert second["scrollToken"] == ""
    assert (await api("GET", f"{query}&scrollToken=x"))[0] == 400
    assert (await api("GET", f"{BASE}/contacts?channel[]=other"))[1]["hits"] == 0


async def test_the_messages_of_a_contact_are_listed(api: Api, desk: Desk) -> None:
    await api("POST", POST, a_message())
    (conversation,) = desk.conversations()
    conversation.accept(ADA)
    conversation.say(conversation.messages[0].content)
    messages = (await api("GET", f"{BASE}/contacts/{conversation.id}/messages"))[1]["data"]
    assert [(each["direction"], (each["authorUser"] or {}).get("id")) for each in messages] == [
        ("inbound", None),
        ("outbound", ADA.id),
    ]


async def test_typing_is_shown_while_there_is_an_open_contact(api: Api, desk: Desk) -> None:
    path = f"{BASE}/channels/{POST.split('/')[4]}/threads/thread-1/sender-actions"
    assert (await api("POST", path, {"action": "isTypingOn"}))[0] == 404
    await api("POST", POST, a_message())
    assert (await api("POST", path, {"action": "isTypingOn"}))[0] == 204
    assert desk.conversations()[0].customer_is_typing
    assert (await api("POST", path, {"action": "typing"}))[0] == 400


async def test_the_platform_closes_a_contact_and_sets_its_fields(api: Api, desk: Desk) -> None:
    await api("POST", POST, a_message())
    (conversation,) = desk.conversations()
    path = f"{BASE}/contacts/{conversation.id}"
    fields = {"customFields": [{"ident": "a", "value": "1"}]}
    assert (await api("PUT", f"{path}/custom-fields", fields))[0] == 204
    assert conversation.fields == {"a": "1"}
    assert (await api("PUT", f"{path}/status", {"status": "done"}))[0] == 400
    assert (await api("PUT", f"{path}/status", {"status": "closed"}))[0] == 204
    assert conversation.closed_by == "customer"
    assert (await api("PUT", f"{path}/status", {"status": "open"}))[0] == 409


async def test_the_status_of_a_message_is_set(api: Api, desk: Desk) -> None:
    await api("POST", POST, a_message())
    (conversation,) = desk.conversations()
    conversation.accept(ADA)
    message = conversation.say(conversation.messages[0].content)
    path = f"{POST}/{message.id}/status"
    body = {"status": "seen", "updatedAt": "2026-11-28T19:00:00.000Z"}
    assert (await api("PUT", path, body))[0] == 204
    assert message.seen_by_customer_at is not None
    assert (await api("PUT", f"{POST}/other/status", body))[0] == 404


async def test_a_contact_over_its_rate_gets_429(api: Api) -> None:
    await api("PATCH", "/simulator/byoc/settings", {"contact_burst": 2, "contact_per_minute": 30})
    await api("POST", POST, a_message())  # opens the contact
    for _ in range(2):
        assert (await api("POST", POST, a_message()))[0] == 201
    status, body = await api("POST", POST, a_message())
    assert (status, api.response_headers["Retry-After"]) == (429, "2")
    assert "errors" in body
    other = a_message(thread={"idOnExternalPlatform": "thread-2"})
    assert (await api("POST", POST, other))[0] == 201


def test_the_throttle_refills() -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    assert [throttle.take("1", 2, 17) for _ in range(3)] == [None, None, 4]
    now = 3.6
    assert [throttle.take("1", 2, 17) for _ in range(2)] == [None, 4]
    now = 1000
    assert [throttle.take("1", 2, 17) for _ in range(3)] == [None, None, 4]
    throttle.forget("1")
    assert throttle.take("1", 1, 17) is None


async def test_a_fault_applies_to_an_endpoint(api: Api) -> None:
    await api("POST", "/simulator/faults", {"endpoint": "byoc_message", "status": 503})
    assert (await api("POST", POST, a_message()))[0] == 503
    assert (await api("POST", POST, a_message()))[0] == 201
