"""The caller against a bridge that a test plays message by message."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from sipbridge.simulators.caller.audio import description, open_audio
from sipbridge.simulators.caller.call import Call, Dialled
from sipbridge.simulators.caller.messages import SipMessage, format_message, format_response


class FakeConnection:
    """A connection whose far end is the test."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.local = ("127.0.0.1", 5999)
        self.sent: asyncio.Queue[SipMessage] = asyncio.Queue()
        self.arriving: asyncio.Queue[str | OSError] = asyncio.Queue()

    def send(self, text: str) -> None:
        self.sent.put_nowait(SipMessage(datetime.now(UTC), sent=True, text=text.replace("\r\n", "\n")))

    async def receive(self) -> str:
        item = await self.arriving.get()
        if isinstance(item, OSError):
            raise item
        return item

    def close(self) -> None:
        pass

    async def next(self, method: str) -> SipMessage:
        """The next message that the caller sent, which is a request or response of that method."""
        message = await asyncio.wait_for(self.sent.get(), 5)
        assert message.method == method, message.text
        return message

    def request(self, method: str, number: int = 1, headers: tuple[tuple[str, str], ...] = (), body: str = "") -> str:
        """Send the caller a request of the bridge; return it, so that it can be repeated."""
        common = (
            ("Via", f"SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-{method}-{number}"),
            ("Via", "SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK-behind"),
            ("From", "<sip:+1@127.0.0.1>;tag=bridge"),
            ("To", "<sip:+15550100@127.0.0.1>;tag=caller"),
            ("Call-ID", "one"),
            ("CSeq", f"{number} {method}"),
        )
        text = format_message(f"{method} sip:cxone@127.0.0.1 SIP/2.0", (*common, *headers), body)
        self.arriving.put_nowait(text)
        return text

    def respond(
        self, request: SipMessage, status: str, body: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> str:
        """Send the caller a response; return it, so that it can be repeated."""
        contact = ("Contact", "<sip:bridge@127.0.0.1:5060>")
        text = format_response(request, status, "bridge", [contact, *headers], body)
        self.arriving.put_nowait(text)
        return text


@pytest.fixture(params=["udp", "tcp"])
def wire(request: pytest.FixtureRequest) -> FakeConnection:
    return FakeConnection(request.param)


@pytest.fixture
async def call(wire: FakeConnection) -> AsyncIterator[Call]:
    dialled = Dialled("sip:+1999@127.0.0.1:5060", "+15550100", [("X-Auth-Token", "t")])
    call = Call(wire, await open_audio("127.0.0.1"), dialled)  # type: ignore[arg-type]  # any transport
    yield call
    wire.arriving.put_nowait(ConnectionResetError("the end of the test"))
    await call.close()


async def answered(call: Call, wire: FakeConnection) -> SipMessage:
    """Answer the call; return its INVITE."""
    placing = asyncio.create_task(call.place())
    invite = await wire.next("INVITE")
    wire.respond(invite, "180 Ringing")
    wire.respond(invite, "200 OK", description("127.0.0.1", 9))
    assert (await asyncio.wait_for(placing, 5)).status == 200
    ack = await wire.next("ACK")
    assert ack.start_line == "ACK sip:bridge@127.0.0.1:5060 SIP/2.0"
    assert ack.header("To").endswith(";tag=bridge")
    return invite


async def test_the_invite_has_the_headers_of_the_trunk_and_an_offer(call: Call, wire: FakeConnection) -> None:
    invite = await answered(call, wire)
    assert invite.start_line == "INVITE sip:+1999@127.0.0.1:5060 SIP/2.0"
    assert invite.header("X-Auth-Token") == "t"
    assert invite.header("From").startswith("<sip:+15550100@127.0.0.1>;tag=")
    assert "m=audio " in invite.body
    assert [message.method for message in call.messages] == ["INVITE", "INVITE", "INVITE", "ACK"]


async def test_requests_within_the_call_pass_through_the_proxies_of_its_answer(
    call: Call, wire: FakeConnection
) -> None:
    placing = asyncio.create_task(call.place())
    invite = await wire.next("INVITE")
    proxies = (
        ("Record-Route", "<sip:10.0.0.3;lr;r2=on>, <sip:10.0.0.2;lr>;at=nodes"),
        ("Record-Route", "<sip:10.0.0.1;transport=tcp;lr>"),
    )
    wire.respond(invite, "200 OK", description("127.0.0.1", 9), proxies)
    await asyncio.wait_for(placing, 5)
    ack = await wire.next("ACK")
    hanging_up = asyncio.create_task(call.hang_up())
    bye = await wire.next("BYE")
    wire.respond(bye, "200 OK")
    await hanging_up
    routes = ["<sip:10.0.0.1;transport=tcp;lr>", "<sip:10.0.0.2;lr>;at=nodes", "<sip:10.0.0.3;lr;r2=on>"]
    for request in (ack, bye):
        assert request.start_line.endswith(" sip:bridge@127.0.0.1:5060 SIP/2.0")
        assert re.findall(r"^Route: (.*)$", request.head, re.MULTILINE) == routes
    assert "Route:" not in invite.head


async def test_a_repeated_answer_is_acknowledged_again_and_noted_once(call: Call, wire: FakeConnection) -> None:
    invite = await answered(call, wire)
    noted = len(call.messages)
    wire.respond(invite, "200 OK", description("127.0.0.1", 9))
    await wire.next("ACK")
    assert len(call.messages) == noted


async def test_a_rejection_is_acknowledged_within_its_transaction(call: Call, wire: FakeConnection) -> None:
    placing = asyncio.create_task(call.place())
    invite = await wire.next("INVITE")
    wire.respond(invite, "403 Forbidden")
    assert (await asyncio.wait_for(placing, 5)).status == 403
    ack = await wire.next("ACK")
    assert ack.start_line == "ACK sip:+1999@127.0.0.1:5060 SIP/2.0"
    assert ack.header("Via") == invite.header("Via")


async def test_the_bye_of_the_bridge_ends_the_call_and_a_repeated_one_gets_the_same_response(
    call: Call, wire: FakeConnection
) -> None:
    await answered(call, wire)
    bye = wire.request("BYE")
    first = await wire.next("BYE")
    assert first.status == 200
    assert re.findall("^Via: .*;branch=(.*)$", first.text, re.MULTILINE) == ["z9hG4bK-BYE-1", "z9hG4bK-behind"]
    assert call.ended.is_set()
    wire.arriving.put_nowait(bye)
    assert (await wire.next("BYE")).text == first.text
    await call.hang_up()
    assert wire.sent.empty()


async def test_a_refer_is_accepted_and_reported(call: Call, wire: FakeConnection) -> None:
    await answered(call, wire)
    wire.request("REFER", headers=(("Refer-To", "<sip:+1555@127.0.0.1>"),))
    assert (await wire.next("REFER")).start_line == "SIP/2.0 202 Accepted"
    for outcome in ("SIP/2.0 100 Trying", "SIP/2.0 200 OK"):
        notify = await wire.next("NOTIFY")
        assert notify.body.strip() == outcome
        assert notify.header("Event") == "refer"
        wire.respond(notify, "200 OK")


async def test_a_hold_gets_an_answer_that_fits(call: Call, wire: FakeConnection) -> None:
    await answered(call, wire)
    wire.request("INVITE", body=description("127.0.0.1", 9, "sendonly"))
    answer = await wire.next("INVITE")
    assert answer.status == 200
    assert "a=recvonly" in answer.body


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("INFO", 200), ("UPDATE", 200), ("PUBLISH", 405)])
async def test_other_requests_get_a_response(call: Call, wire: FakeConnection, method: str, status: int) -> None:
    await answered(call, wire)
    wire.request(method)
    assert (await wire.next(method)).status == status


async def test_hanging_up_sends_bye_once(call: Call, wire: FakeConnection) -> None:
    await answered(call, wire)
    hanging_up = asyncio.create_task(call.hang_up())
    wire.respond(await wire.next("BYE"), "200 OK")
    await asyncio.wait_for(hanging_up, 5)
    assert call.ended.is_set()
    await call.hang_up()
    assert wire.sent.empty()


async def test_closing_before_the_answer_cancels_the_invite(call: Call, wire: FakeConnection) -> None:
    placing = asyncio.create_task(call.place())
    invite = await wire.next("INVITE")
    placing.cancel()
    await call.close()
    cancel = await wire.next("CANCEL")
    assert cancel.header("Via") == invite.header("Via")
    assert cancel.header("CSeq") == "1 CANCEL"


async def test_a_lost_connection_ends_the_call(call: Call, wire: FakeConnection) -> None:
    await answered(call, wire)
    wire.arriving.put_nowait(ConnectionResetError("gone"))
    await asyncio.wait_for(call.ended.wait(), 5)
    assert str(call.failure) == "gone"


async def test_an_invite_over_udp_is_repeated_until_a_response() -> None:
    wire = FakeConnection("udp")
    call = Call(wire, await open_audio("127.0.0.1"), Dialled("sip:+1999@127.0.0.1", "+1", ()))  # type: ignore[arg-type]  # as above
    placing = asyncio.create_task(call.place())
    invite, again = await wire.next("INVITE"), await wire.next("INVITE")
    assert invite.text == again.text
    wire.respond(invite, "404 Not Found")
    assert (await asyncio.wait_for(placing, 5)).status == 404
    await call.close()
