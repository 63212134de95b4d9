"""The box of a bring-your-own channel, as CXone uses it, and as others may try to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sipbridge.chats.ports import BOX_SECONDS, BoxMessage
from sipbridge.dns import Resolver
from sipbridge.errors import HttpNotReached
from sipbridge.http import HttpClient, Response
from sipbridge.http.node_headers import FORWARDED
from sipbridge.web import Forwarder, OtherNode, make_app, start_web
from sipbridge.web.server import forwarding, guesses
from sipbridge.web.server.forwarding import FORWARD_SECONDS
from sipbridge.web.server.slots import MAX_GUESTS_PER_SOURCE
from tests.fakes.channel_box import CREDENTIALS, SECONDS, THREAD, TOKEN, FakeBox
from tests.web.chats import BOX, ChatBridge, chat_bridge
from tests.web.fakes import FakeChats

OUTBOUND = "2.0/channel/c/outbound"
POST = "1.0/posts/p/messages"
TYPING = f"1.0/channel/c/thread/{THREAD}/sender-action"
RELEASE = f"1.0/channel/c/thread/{THREAD}/release"
MESSAGE = {"thread": {"idOnExternalPlatform": THREAD}, "messageContent": {"type": "TEXT", "payload": {"text": "Hi"}}}


@pytest.fixture
async def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChatBridge]:
    # Few, so that a slow machine exceeds the limit too; some tests guess a few times.
    monkeypatch.setattr(guesses, "GUESSES_PER_SECOND", 10)
    async with chat_bridge(tmp_path) as running:
        yield running


async def call(
    bridge: ChatBridge, path: str, body: object = None, *, token: str = TOKEN, box: str = BOX
) -> tuple[int, Any]:
    """Call the box as CXone does; return the status and the JSON response."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with bridge.session.post(f"{bridge.base}{box}/{path}", json=body or {}, headers=headers) as response:
        return response.status, json.loads(await response.read() or "null")


def grant(client_id: str = CREDENTIALS[0], client_secret: str = CREDENTIALS[1], **other: object) -> dict[str, object]:
    return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret, **other}


async def test_the_401_makes_cxone_fetch_a_token_that_works(bridge: ChatBridge) -> None:
    assert (await call(bridge, OUTBOUND, MESSAGE, token=""))[0] == 401
    status, granted = await call(bridge, "1.0/token", grant(), token="")
    assert (status, granted) == (200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": SECONDS})
    assert (await call(bridge, OUTBOUND, MESSAGE, token=granted["access_token"]))[0] == 200


async def test_message_is_taken_in_both_forms(bridge: ChatBridge) -> None:
    recipients = [{"idOnExternalPlatform": "7", "name": "Eva", "isPrimary": True, "isPrivate": False}]
    status, taken = await call(bridge, OUTBOUND, {**MESSAGE, "endUserRecipients": recipients})
    assert status == 200
    assert (taken["message"]["idOnExternalPlatform"], taken["thread"]["idOnExternalPlatform"]) == ("message-1", THREAD)
    assert taken["recipients"] == recipients
    assert await call(bridge, POST, MESSAGE) == (200, {"idOnExternalPlatform": "message-2"})
    assert [each["messageContent"] for each in bridge.box.taken] == [MESSAGE["messageContent"]] * 2


async def test_typing_and_release_are_passed_on(bridge: ChatBridge) -> None:
    for action in ("isTypingOn", "isTypingOff"):
        assert await call(bridge, TYPING, {"senderAction": {"action": action}}) == (204, None)
    assert await call(bridge, RELEASE) == (204, None)
    assert (bridge.box.typing, bridge.box.released) == ([True, False], 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (OUTBOUND, {"thread": {"idOnExternalPlatform": "another"}}),
        (OUTBOUND, {}),
        (POST, {"thread": {"idOnExternalPlatform": ["a", "list"]}}),
        (TYPING.replace(THREAD, "another"), {"senderAction": {"action": "isTypingOn"}}),
        (RELEASE.replace(THREAD, "another"), {}),
    ],
)
async def test_unknown_thread_is_404_and_503_while_chats_are_recovered(
    bridge: ChatBridge, path: str, body: dict[str, Any]
) -> None:
    assert (await call(bridge, path, body))[0] == 404
    bridge.recovered = False
    status, response = await call(bridge, path, body)
    assert (status, response["code"]) == (503, "unavailable")


@pytest.mark.parametrize("path", [OUTBOUND, POST])
@pytest.mark.parametrize("name", ["authorUser", "attachments", "endUserRecipients", "brand", "replyToMessage"])
@pytest.mark.parametrize("value", [None, [], {}, "text", 7, [[], None]])
async def test_a_field_of_another_type_does_not_lose_the_message(
    bridge: ChatBridge, path: str, name: str, value: object
) -> None:
    assert (await call(bridge, path, {**MESSAGE, name: value}))[0] == 200
    assert [each["messageContent"] for each in bridge.box.taken] == [MESSAGE["messageContent"]]


@pytest.mark.parametrize("path", [OUTBOUND, POST, TYPING])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"messageContent": [], "senderAction": []}', 422),
        (b"[" * 100_000, 400),
        (b'{"a": "' + b"x" * 1_000_000 + b'"}', 413),
    ],
)
async def test_a_hostile_body_is_refused(bridge: ChatBridge, path: str, body: bytes, status: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with bridge.session.post(f"{bridge.base}{BOX}/{path}", data=body, headers=headers) as response:
        assert response.status == status
        assert set(await response.json()) == {"error_message", "code"}
    assert (bridge.box.taken, bridge.box.typing) == ([], [])


@pytest.mark.parametrize("body", [{}, {"senderAction": {}}, {"senderAction": {"action": ["isTypingOn"]}}])
async def test_an_unknown_action_is_not_typing(bridge: ChatBridge, body: dict[str, Any]) -> None:
    assert (await call(bridge, TYPING, body))[0] == 422
    assert bridge.box.typing == []


async def test_message_that_is_not_stored_in_time_is_503_with_retry_after(bridge: ChatBridge) -> None:
    bridge.box.stalls = True
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with bridge.session.post(f"{bridge.base}{BOX}/{OUTBOUND}", json=MESSAGE, headers=headers) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_a_message_of_a_chat_that_another_bridge_may_have_is_503_and_repeated(bridge: ChatBridge) -> None:
    bridge.box.withholds = True
    status, response = await call(bridge, OUTBOUND, MESSAGE)
    assert (status, response["code"]) == (503, "unavailable")


@pytest.mark.parametrize("path", [OUTBOUND, POST, TYPING, RELEASE])
@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer x", "Bearer \u00e4"]
)
async def test_a_wrong_token_is_401_whether_or_not_the_box_exists(
    bridge: ChatBridge, path: str, authorization: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    found = set()
    for box in (BOX, BOX + "2", "/byoc/a/b/c"):
        async with bridge.session.post(f"{bridge.base}{box}/{path}", json=MESSAGE, headers=headers) as response:
            found.add((response.status, await response.text()))
    [(status, _)] = found
    assert status == 401
    assert not bridge.box.taken


async def test_wrong_credentials_are_401_whether_or_not_the_box_exists(bridge: ChatBridge) -> None:
    [(status, _)] = {
        (status, body["error_message"])
        for box in (BOX, BOX + "2", "/byoc/a/b/c")
        for wrong in (grant(client_secret="x"), grant(client_id="x"), {"grant_type": "client_credentials"})
        for status, body in [await call(bridge, "1.0/token", wrong, token="", box=box)]
    }
    assert status == 401
    assert (await call(bridge, "1.0/token", {"grant_type": "password"}, token=""))[0] == 400


@pytest.mark.parametrize("path", ["1.0/token", OUTBOUND])
async def test_guesses_are_limited_per_address_and_a_token_in_use_still_works(bridge: ChatBridge, path: str) -> None:
    assert (await call(bridge, OUTBOUND, MESSAGE))[0] == 200
    seen = [(await call(bridge, path, grant(client_secret=f"guess {n}"), token=f"guess-{n}"))[0] for n in range(40)]
    assert set(seen) == {401, 429}
    assert (await call(bridge, OUTBOUND, MESSAGE))[0] == 200


async def test_no_body_is_read_before_the_token_is_valid(bridge: ChatBridge) -> None:
    """A sender without a token must not keep a connection busy with a slow body."""

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        async with bridge.session.post(f"{bridge.base}{BOX}/{OUTBOUND}", data=endless()) as response:
            assert response.status == 401


async def test_slow_requests_of_tokens_leave_the_api_to_others(bridge: ChatBridge) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await ending.wait()
        yield b"}"

    async def request() -> int:
        async with bridge.session.post(f"{bridge.base}{BOX}/1.0/token", data=slow()) as response:
            return response.status

    ending = asyncio.Event()
    requests = [asyncio.create_task(request()) for _ in range(MAX_GUESTS_PER_SOURCE + 4)]
    done: set[asyncio.Task[int]] = set()
    while len(done) < 4:
        done, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
        requests = [each for each in requests if each not in done] + list(done)
        await asyncio.sleep(0.01)
    assert {each.result() for each in done} == {429}
    assert (await call(bridge, OUTBOUND, MESSAGE))[0] == 200
    ending.set()
    assert {await each for each in requests if each not in done} == {400}


async def test_a_token_works_for_its_own_box_only(bridge: ChatBridge) -> None:
    chats = FakeChats()
    bridge.find_box = chats.deps().box
    for key, box in chats.boxes.items():
        for other in chats.boxes:
            status, _ = await call(bridge, OUTBOUND, MESSAGE, token=box.token, box="/byoc/" + "/".join(other))
            assert status == (200 if other == key else 401)
    assert [len(box.taken) for box in chats.boxes.values()] == [1] * len(chats.boxes)


LATE = Response(200, {}, b'"late"')


class Others:
    """The other bridges, as this one reaches them, and what they respond: None if they cannot be reached.

    One that is to respond `LATE` does not. `limits` has the time that each request may take.
    """

    epoch = "epoch-of-this-node"

    def __init__(self, *responses: Response | None) -> None:
        self.requests: list[tuple[str, Mapping[str, str], bytes]] = []
        self.limits: list[float] = []
        self._responses = responses

    def sign(self, *parts: str) -> str:
        return " ".join(parts).replace(" ", "-")

    def count_forward(self) -> None:
        pass

    def others(self) -> list[OtherNode]:
        return [OtherNode(f"epoch-{n}", f"http://node-{n}", has_lease=True) for n in range(len(self._responses))]

    async def request(
        self, _method: str, url: str, *, headers: Mapping[str, str], body: bytes, seconds: float, **_: object
    ) -> Response:
        self.requests.append((url, headers, body))
        self.limits.append(seconds)
        response = self._responses[int(url.removeprefix("http://node-")[0])]
        if response is None:
            raise HttpNotReached("no connection")
        if response is LATE:
            await asyncio.Event().wait()
        return response


@pytest.mark.parametrize(
    ("responses", "status"),
    [
        ([Response(404, {}, b""), Response(200, {}, b'{"idOnExternalPlatform": "message-9"}')], 200),
        ([Response(404, {}, b""), Response(404, {}, b"")], 404),
        ([Response(503, {}, b""), Response(404, {}, b"")], 503),
        ([None, Response(404, {}, b"")], 503),
        ([None, Response(200, {}, b"{}")], 200),
        ([Response(503, {}, b""), Response(200, {}, b"{}")], 200),
        ([LATE, Response(200, {}, b"{}")], 200),
    ],
    ids=[
        "another-has-it",
        "none-has-it",
        "another-recovers-it",
        "one-is-away",
        "one-is-away-another-has-it",
        "one-recovers-another-has-it",
        "one-is-late-another-has-it",
    ],
)
async def test_a_thread_of_another_bridge_is_looked_for_there(
    bridge: ChatBridge, responses: list[Response | None], status: int
) -> None:
    others: Any = Others(*responses)
    deps = replace(bridge.deps(), nodes=others, forwarder=Forwarder(others, others))
    runner, (host, port) = await start_web(make_app(deps), "127.0.0.1", 0)
    bridge.base = f"http://{host}:{port}"
    assert (await call(bridge, POST, MESSAGE))[0] == 200, "a thread of its own"
    assert others.requests == []
    elsewhere = {**MESSAGE, "thread": {"idOnExternalPlatform": "another"}}
    assert (await call(bridge, POST, elsewhere))[0] == status
    assert len(others.requests) == 2
    url, headers, body = others.requests[0]
    assert url == f"http://node-0{BOX}/{POST}"
    assert (headers["Authorization"], json.loads(body)) == (f"Bearer {TOKEN}", elsewhere)
    hop = {FORWARDED: f"{others.epoch} {others.sign('forward', others.epoch, 'POST', f'{BOX}/{POST}')}"}
    async with bridge.session.post(
        f"{bridge.base}{BOX}/{POST}", json=elsewhere, headers={"Authorization": f"Bearer {TOKEN}", **hop}
    ) as response:
        assert response.status == 404, "it goes no further"
    assert len(others.requests) == 2
    await runner.cleanup()


async def test_another_bridge_has_the_time_to_store_a_message_but_not_for_what_it_only_notes(
    bridge: ChatBridge,
) -> None:
    others: Any = Others(Response(404, {}, b""))
    deps = replace(bridge.deps(), nodes=others, forwarder=Forwarder(others, others))
    runner, (host, port) = await start_web(make_app(deps), "127.0.0.1", 0)
    bridge.base = f"http://{host}:{port}"
    elsewhere = {**MESSAGE, "thread": {"idOnExternalPlatform": "another"}}
    for path in (OUTBOUND, POST):
        await call(bridge, path, elsewhere)
    await call(bridge, TYPING.replace(THREAD, "another"), {"senderAction": {"action": "isTypingOn"}})
    await call(bridge, RELEASE.replace(THREAD, "another"))
    of_messages, of_others = others.limits[:2], others.limits[2:]
    assert min(of_messages) > BOX_SECONDS
    assert of_others == [FORWARD_SECONDS] * 2
    await runner.cleanup()


class SlowBox(FakeBox):
    """A box that stores a message once `stored` is set, as while it fetches a file."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = asyncio.Event()

    async def take_message(self, thread_id: str, body: Mapping[str, Any]) -> BoxMessage | None:
        await self.stored.wait()
        return await super().take_message(thread_id, body)


class OtherBridge(Others):
    """One other bridge, at `base`; `when_asked` gets how often the nodes were asked for."""

    def __init__(self, base: str, when_asked: Callable[[int], None]) -> None:
        super().__init__()
        self.has_lease = True
        self._base = base
        self._asked = 0
        self._when_asked = when_asked

    def others(self) -> list[OtherNode]:
        self._asked += 1
        self._when_asked(self._asked)
        return [OtherNode("epoch-0", self._base, has_lease=self.has_lease)]


@pytest.mark.parametrize(("keeps_lease", "status", "taken"), [(True, 200, 1), (False, 503, 0)])
async def test_a_slow_bridge_is_waited_for_as_long_as_it_has_its_lease(
    bridge: ChatBridge, monkeypatch: pytest.MonkeyPatch, *, keeps_lease: bool, status: int, taken: int
) -> None:
    monkeypatch.setattr(forwarding, "FORWARD_SECONDS", 0.02)
    slow, empty = SlowBox(), FakeBox(thread="of-no-chat")

    def on_asked(times: int) -> None:
        if times == 4 and keeps_lease:
            slow.stored.set()
        nodes.has_lease = times < 4 or keeps_lease

    nodes: Any = OtherBridge(bridge.base, on_asked)
    bridge.find_box = lambda *_: slow
    chats = replace(bridge.chats, box=lambda *_: empty)
    async with HttpClient(Resolver(time.monotonic)) as http, asyncio.timeout(10):
        deps = replace(bridge.deps(), chats=chats, nodes=nodes, forwarder=Forwarder(http, nodes))
        runner, (host, port) = await start_web(make_app(deps), "127.0.0.1", 0)
        bridge.base = f"http://{host}:{port}"
        assert (await call(bridge, OUTBOUND, MESSAGE))[0] == status
        assert len(slow.taken) == taken
        await runner.cleanup()
    slow.stored.set()
