from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.conversation import Conversation
from sipbridge.simulators.cxone.digital.desk import DEMO_AGENTS, Desk
from sipbridge.simulators.cxone.digital.messages import Content
from sipbridge.simulators.cxone.models import DEMO_TENANT

ADA, BEN, _ = DEMO_AGENTS
API = "/inContactAPI/services/v12.0"
KEY = {"accessKeyId": DEMO_TENANT.access_key_id, "accessKeySecret": DEMO_TENANT.access_key_secret}


class Customer:
    """A client of the patron API. `session` is the newest id of its chat."""

    def __init__(self, http: aiohttp.ClientSession, token: str) -> None:
        self.http = http
        self.headers = {"Authorization": f"Bearer {token}"}
        self.session = ""

    async def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = path if path.startswith("/simulator") else f"{API}{path}"
        async with self.http.request(method, url, json=body, headers=self.headers) as response:
            content = await response.read()
            return response.status, await response.json() if content else None

    async def start(self, **changes: object) -> int:
        status, body = await self.request(
            "POST", "/contacts/chats", {"pointOfContact": "123", "mediaType": 3} | changes
        )
        if status == 202:
            self.session = body["chatSessionId"]
        return status

    async def poll(self, session: str = "") -> tuple[int, list[tuple[str, str]]]:
        """Return the status of a poll, and the type and the text or status of each message."""
        status, body = await self.request("GET", f"/contacts/chats/{session or self.session}?timeout=10")
        if status != 200:
            return status, []
        self.session = body["chatSession"]
        return status, [
            (each["Type"], each.get("Text", each.get("Status", each.get("IsTyping")))) for each in body["messages"]
        ]

    async def say(self, text: str, label: str = "Grace") -> int:
        path = f"/contacts/chats/{self.session}/send-text"
        return (await self.request("POST", path, {"label": label, "message": text}))[0]


@pytest.fixture
async def customer(http: aiohttp.ClientSession) -> Customer:
    async with http.post("/authentication/v1/token/access-key", json=KEY) as response:
        body = await response.json()
        assert (response.status, body["expires_in"]) == (200, 3600)
        return Customer(http, body["access_token"])


@pytest.fixture
async def started(customer: Customer, desk: Desk) -> Conversation:
    """The contact of the customer's chat, after the first poll."""
    assert await customer.start(parameters=["a", "b"], fromAddress="grace@example.com") == 202
    assert await customer.poll() == (200, [("Status", "Waiting")])
    return desk.conversations()[0]


async def change(customer: Customer, **settings: object) -> None:
    assert (await customer.request("PATCH", "/simulator/patron/settings", settings))[0] == 200


async def test_the_parameters_become_p1_and_so_on(started: Conversation) -> None:
    assert (started.kind, started.channel, started.fields) == ("patron", "123", {"P1": "a", "P2": "b"})
    assert started.customer.id == "grace@example.com"


async def test_the_access_key_must_be_right(http: aiohttp.ClientSession) -> None:
    async with http.post("/authentication/v1/token/access-key", json=KEY | {"accessKeySecret": "x"}) as response:
        assert response.status == 401
    async with http.post("/authentication/v1/token/access-key", json={}) as response:
        assert response.status == 400
    assert await Customer(http, "wrong").start() == 401


@pytest.mark.parametrize(
    "changes", [{"pointOfContact": "9"}, {"mediaType": 4}, {"parameters": [{"P1": "a"}]}, {"skill": 1}]
)
async def test_a_bad_start_is_refused(customer: Customer, desk: Desk, changes: dict[str, object]) -> None:
    assert await customer.start(**changes) == 400
    assert desk.conversations() == []


async def test_the_session_id_changes_with_each_batch(customer: Customer, started: Conversation) -> None:
    first = customer.session
    started.accept(ADA)
    started.show_agent_typing(on=True)
    started.say(Content.of_text("one"))
    started.say(Content.of_text("two"))
    status, messages = await customer.poll()
    assert status == 200
    assert messages == [
        ("Status", "Active"),
        ("AgentTyping", "True"),
        ("AgentTyping", "False"),
        ("Text", "one"),
        ("Text", "two"),
    ]
    assert customer.session != first
    assert (await customer.poll(first))[0] == 404
    assert (await customer.request("POST", f"/contacts/chats/{first}/send-text", {"label": "a", "message": "b"}))[
        0
    ] == 404


async def test_a_poll_waits_for_a_message(customer: Customer, started: Conversation) -> None:
    poll = asyncio.create_task(customer.poll())
    await asyncio.sleep(0.05)
    assert not poll.done()
    started.accept(ADA)
    assert await poll == (200, [("Status", "Active")])


async def test_a_poll_without_a_message_gets_304(customer: Customer, started: Conversation) -> None:  # noqa: ARG001 (there is a chat)
    await change(customer, min_timeout_seconds=0)
    before = customer.session
    assert (await customer.request("GET", f"/contacts/chats/{before}?timeout=0"))[0] == 304
    assert customer.session == before


@pytest.mark.parametrize("seconds", ["9", "61", "x", ""])
async def test_the_timeout_of_a_poll_has_limits(customer: Customer, started: Conversation, seconds: str) -> None:  # noqa: ARG001 (the same)
    assert (await customer.request("GET", f"/contacts/chats/{customer.session}?timeout={seconds}"))[0] == 400


async def test_own_texts_come_back(customer: Customer, started: Conversation) -> None:
    assert await customer.say("hello") == 202
    assert started.messages[0].content.text == "hello"
    assert await customer.poll() == (200, [("Text", "hello")])
    await change(customer, echo=False)
    assert await customer.say("again") == 202
    started.accept(ADA)
    assert await customer.poll() == (200, [("Status", "Active")])


async def test_the_end_by_the_human_agent(customer: Customer, started: Conversation) -> None:
    started.accept(ADA)
    started.set_status("closed", by="agent")
    assert await customer.poll() == (
        200,
        [("Status", "Active"), ("Text", "$Localized:ChatSessionEnded"), ("Status", "Disconnected")],
    )
    assert (await customer.poll())[0] == 404
    assert await customer.say("late") == 404
    await change(customer, ended_form="session_ended")
    status, body = await customer.request("GET", f"/contacts/chats/{customer.session}?timeout=10")
    assert (status, body["error_description"]) == (400, "SessionEnded")


async def test_the_end_by_the_customer(customer: Customer, started: Conversation) -> None:
    assert (await customer.request("DELETE", f"/contacts/chats/{customer.session}"))[0] == 202
    assert started.closed_by == "customer"
    assert (await customer.poll())[0] == 404


async def test_a_chat_ends_at_its_age(customer: Customer, desk: Desk) -> None:
    await change(customer, chat_seconds=0.05)
    await customer.start()
    assert (await customer.poll())[1] == [("Status", "Waiting")]
    assert (await customer.poll())[1][-1] == ("Status", "Disconnected")
    assert desk.conversations()[0].closed_by == "system"


async def test_closed_hours_show_as_a_text_of_the_system(customer: Customer, desk: Desk) -> None:
    assert (await customer.request("PATCH", "/simulator/patron/points/123", {"open": False}))[0] == 200
    assert await customer.start() == 202
    assert await customer.poll() == (200, [("Text", "The department is currently closed.")])
    assert (await customer.poll())[0] == 404
    assert desk.conversations() == []


async def test_a_stale_session_id(customer: Customer, started: Conversation) -> None:
    assert (await customer.request("POST", f"/simulator/patron/chats/{started.id}/stale"))[0] == 204
    assert (await customer.poll())[0] == 404
    assert (await customer.request("POST", "/simulator/patron/chats/1/stale"))[0] == 404


async def test_a_batch_may_be_kept_for_the_id_before(customer: Customer, started: Conversation) -> None:
    await change(customer, keeps_unread=True)
    before = customer.session
    started.accept(ADA)
    first = await customer.poll(before)
    assert await customer.poll(before) == first == (200, [("Status", "Active")])


async def test_typing_is_shown(customer: Customer, started: Conversation) -> None:
    path = f"/contacts/chats/{customer.session}/typing"
    assert (await customer.request("POST", f"{path}?isTyping=True&isTextEntered=True&label=Grace"))[0] == 202
    assert bool(started.customer_is_typing)
    assert (await customer.request("POST", f"{path}?isTyping=False&isTextEntered=False&label=Grace"))[0] == 202
    assert not started.customer_is_typing
    assert (await customer.request("POST", f"{path}?isTyping=1&isTextEntered=True&label=Grace"))[0] == 400
    assert (await customer.request("POST", f"{path}?isTyping=True&isTextEntered=True"))[0] == 400


async def test_a_transfer_goes_through_waiting(customer: Customer, started: Conversation) -> None:
    await change(customer, label_with_id=True)
    started.accept(ADA)
    started.leave(in_transfer=True)
    started.accept(BEN)
    status, body = await customer.request("GET", f"/contacts/chats/{customer.session}?timeout=10")
    assert status == 200
    assert [(each["Status"], each["Label"]) for each in body["messages"]] == [
        ("Active", "Ada Quinn|101"),
        ("Waiting", ""),
        ("Active", "Ben O.|102"),
    ]


async def test_the_activity_of_a_skill(customer: Customer, started: Conversation) -> None:  # noqa: ARG001 (the same)
    (activity,) = (await customer.request("GET", "/skills/1001/activity"))[1]["skillActivity"]
    assert (activity["agentsLoggedIn"], activity["agentsAvailable"], activity["queueCount"]) == (3, 2, 1)
    assert (await customer.request("GET", "/skills/9/activity"))[0] == 404


async def test_the_states_of_the_human_agents(customer: Customer) -> None:
    await change(customer, agents_available=1)
    states = (await customer.request("GET", "/agents/states"))[1]["agentStates"]
    assert [each["agentStateId"] for each in states] == [1, 2, 2]


async def test_the_hours_of_operation(customer: Customer) -> None:
    hours = {"opens": "08:00:00", "closes": "12:00:00", "additional_opens": "13:00:00", "additional_closes": "17:00:00"}
    assert (await customer.request("PUT", "/simulator/patron/hours/8", hours | {"closed_days": ["Sunday"]}))[0] == 200
    _, eight = (await customer.request("GET", "/hours-of-operation"))[1]["resultSet"]["hoursOfOperationProfiles"]
    assert eight["profileId"] == "8"
    assert eight["days"][0] == {
        "day": "Monday",
        "openTime": "08:00:00",
        "closeTime": "12:00:00",
        "hasAdditionalHours": "True",
        "additionalOpenTime": "13:00:00",
        "additionalCloseTime": "17:00:00",
        "isClosedAllDay": "False",
    }
    assert eight["days"][-1]["isClosedAllDay"] == "True"


async def test_the_path_matches_in_any_case_with_a_version(http: aiohttp.ClientSession, customer: Customer) -> None:
    for path, status in (
        ("/incontactapi/Services/V29.0/agents/states", 200),
        ("/inContactAPI/services/x/agents/states", 404),
    ):
        async with http.get(path, headers=customer.headers) as response:
            assert response.status == status
