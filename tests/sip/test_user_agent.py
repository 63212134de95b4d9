"""The user agent with a fake of PJSIP: calls come in and go out, with no socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.admission import Admitted
from sipbridge.calls.events import InviteAnswered
from sipbridge.calls.ports.sip import Backpressure, Dialler
from sipbridge.calls.readiness import Readiness
from sipbridge.config import SipConfig, TlsConfig
from sipbridge.dns import Resolver
from sipbridge.errors import DialFailed, StartupError
from sipbridge.sip.endpoint import PjsipEndpoint
from sipbridge.sip.gate import Gate
from sipbridge.sip.leg import SipLeg
from sipbridge.sip.overload import PATIENCE_SECONDS, SOCKET_BYTES
from sipbridge.sip.tls_files import TlsFiles
from sipbridge.sip.user_agent import UserAgent, pjsip_version
from sipbridge.telephony.credentials import Credentials
from sipbridge.wav import Pcm
from tests.calls.world import NUMBER, TOKEN, admission_of, make_config, version_of
from tests.fakes.pjsip import FakePjsip, FakeRequest
from tests.fakes.pjsip_setup import FakeSetup
from tests.harness.certificates import Authority, tls_settings

TARGET = "udp://192.0.2.1:5060"
SLOT = 7
INVITE = "\r\n".join(
    [
        f"INVITE sip:{NUMBER}@bridge SIP/2.0",
        "From: <sip:+15550100@trunk>;tag=1",
        f"To: <sip:{NUMBER}@bridge>",
        "Call-ID: id@trunk",
        "CSeq: 1 INVITE",
        f"X-Auth-Token: {TOKEN}",
        "X-InContact-ContactId: 123456789",
        "Content-Length: 0",
        "",
        "",
    ]
).encode()


class FakeEndpoint(PjsipEndpoint):
    """An endpoint whose gate is not registered with PJSIP."""

    gate: Gate
    failing: Exception | None = None

    def __init__(self, config: SipConfig) -> None:
        super().__init__(config, FakeSetup())
        self.account_ids = {"disabled": 0, "optional": 1, "mandatory": 2}
        self.addresses = ["udp://192.0.2.9:5060"]
        self.closed = False

    def open(self, gate: pj.RequestGate) -> None:
        assert isinstance(gate, Gate)
        self.gate = gate
        if self.failing is not None:
            raise self.failing

    def close(self, gate: pj.RequestGate) -> None:
        assert gate is self.gate
        self.closed = True


class World:
    """A user agent, and those that it notifies."""

    def __init__(self, pjsip: FakePjsip, config: SipConfig) -> None:
        self.pjsip = pjsip
        self.admission = admission_of(make_config())
        self.calls: asyncio.Queue[tuple[SipLeg, Admitted]] = asyncio.Queue()
        self.rejections: asyncio.Queue[InviteAnswered] = asyncio.Queue()
        self.endpoint = FakeEndpoint(config)
        self.agent = UserAgent(
            config,
            Resolver(time.monotonic),
            self.admission,
            Readiness(self.admission),
            lambda leg, admitted: self.calls.put_nowait((leg, admitted)),
            self.rejections.put_nowait,
            native=pjsip,
            make_endpoint=lambda _: self.endpoint,
        )

    async def request(self, request: FakeRequest) -> FakeRequest:
        """Show a request to the gate, on the SIP thread."""
        # The poll of the next turn sees the events that the gate's decision leads to, as PJSIP's would.
        done = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def poll() -> None:
            self.endpoint.gate.onRequest(request)
            if not request.status:
                self.pjsip.queue_event(pj.EventIncoming, SLOT, request.ticket())
            loop.call_soon_threadsafe(done.set_result, None)

        self.pjsip.on_poll(poll)
        await done
        return request


@pytest.fixture
async def world(pjsip: FakePjsip) -> AsyncIterator[World]:
    world = World(pjsip, SipConfig())
    assert await world.agent.start() == ["udp://192.0.2.9:5060"]
    yield world
    await world.agent.stop()
    assert world.endpoint.closed


async def test_an_admitted_invite_becomes_a_leg(world: World) -> None:
    await world.request(FakeRequest(INVITE, ticket=3))
    leg, admitted = await world.calls.get()
    assert admitted.invite.sip_call_id == "id@trunk"
    await leg.hang_up(486)
    assert world.pjsip.sent == [("end", SLOT, 486, "", {})]


async def test_all_calls_have_been_passed_on_when_the_agent_has_caught_up(world: World) -> None:
    await world.request(FakeRequest(INVITE, ticket=3))
    await world.agent.caught_up()
    assert world.calls.qsize() == 1


async def test_a_rejected_invite_is_reported_on_the_loop(world: World) -> None:
    request = await world.request(FakeRequest(INVITE, "192.0.2.77"))
    assert request.status == 403
    assert (await world.rejections.get()).sip_status == 403


async def test_an_invite_that_pjsua_rejects_is_reported_on_the_loop(world: World) -> None:
    def poll() -> None:
        world.endpoint.gate.onRequest(FakeRequest(INVITE, ticket=3))
        world.pjsip.queue_event(pj.EventRejected, number=3, status=422)

    world.pjsip.on_poll(poll)
    assert (await world.rejections.get()).reason == "session_timer"
    assert world.admission.active == 0


async def test_an_invite_that_pjsua_drops_is_released_in_the_same_turn(world: World) -> None:
    world.pjsip.on_poll(lambda: world.endpoint.gate.onRequest(FakeRequest(INVITE, ticket=3)))
    assert (await world.rejections.get()).sip_status == 500
    assert world.admission.active == 0


async def test_a_call_that_was_not_admitted_is_hung_up(world: World) -> None:
    world.pjsip.queue_event(pj.EventIncoming, SLOT, 99)
    await world.agent.caught_up()
    assert world.pjsip.sent == [("end", SLOT, 500, "", {})]
    assert world.calls.empty()


async def test_no_call_is_admitted_during_a_shortage(world: World) -> None:
    assert (await world.agent.measure_lag())[1] is None
    world.pjsip.room = pj.NoPorts
    request = await world.request(FakeRequest(INVITE))
    assert request.status == 503
    lag_seconds, shortage = await world.agent.measure_lag()
    assert 0 <= lag_seconds < 5
    assert shortage == "no two ports of sip.rtp_ports are free"


async def test_no_call_is_admitted_during_an_overload(world: World) -> None:
    world.pjsip.waiting = 10 * SOCKET_BYTES
    first = await world.request(FakeRequest(INVITE, ticket=1))
    await asyncio.sleep(PATIENCE_SECONDS + 0.05)
    second = await world.request(FakeRequest(INVITE, ticket=2))
    assert (first.status, second.status) == (0, 503)


async def test_a_failed_tls_handshake_of_a_source_is_logged_once_a_reload_trusts_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(port: int) -> None:
        world.pjsip.queue_event(pj.EventTlsRefused, number=port, text="192.0.2.77\nEnd of file (PJ_EEOF)")
        await world.agent.caught_up()

    caplog.set_level("INFO")
    await refuse(5061)
    world.admission.use(version_of(make_config(sip={"trusted_sources": ["192.0.2.0/24"]})))
    await refuse(5062)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["inbound TLS from 192.0.2.77, port 5062, failed: the peer closed the connection"]


# -------------------------------------------------------------------- outgoing legs


async def test_dialling_sends_an_invite_and_returns_its_leg(world: World) -> None:
    leg = await world.agent.dial(
        "sip:agent@example.com;srtp",
        TARGET,
        {"X-Id": "1"},
        "+15550100",
        sources=["192.0.2.0/24"],
        credentials=Credentials("user", "word"),
    )
    assert world.pjsip.sent == [
        (
            "INVITE",
            2,
            "sip:agent@example.com",
            TARGET,
            ["192.0.2.0/24"],
            "<sip:+15550100@127.0.0.1>",
            {"X-Id": "1"},
            "user",
            "word",
        )
    ]
    world.pjsip.queue_event(pj.EventConfirmed, SLOT)
    await leg.answered


async def test_an_invite_that_cannot_be_sent_fails_with_503(world: World) -> None:
    world.pjsip.failing = {"INVITE"}
    with pytest.raises(DialFailed) as raised:
        await world.agent.dial("sip:agent@example.com", TARGET, {}, "")
    assert str(raised.value).startswith(f"no INVITE to {TARGET}: the request could not be sent")
    assert raised.value.sip_status == 503


async def test_a_leg_without_resources_is_not_dialled(world: World) -> None:
    world.pjsip.room = pj.NoPorts
    with pytest.raises(DialFailed, match="no two ports"):
        await world.agent.dial("sip:agent@example.com", TARGET, {}, "")
    assert world.pjsip.sent == []


def block(until: threading.Event) -> None:
    until.wait(5)


async def test_a_cancelled_dial_leaves_no_leg(world: World) -> None:
    blocked = threading.Event()
    world.pjsip.on_poll(partial(block, blocked))
    dialling = asyncio.ensure_future(world.agent.dial("sip:agent@example.com", TARGET, {}, ""))
    await asyncio.sleep(0)
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling
    blocked.set()
    await world.agent.caught_up()
    assert [sent[0] for sent in world.pjsip.sent] == ["INVITE", "end"]
    assert world.pjsip.sent[1] == ("end", SLOT, 487, "", {})


async def test_the_end_of_a_leg_does_not_end_the_next_one_in_its_slot(world: World) -> None:
    first = await world.agent.dial("sip:agent@example.com", TARGET, {}, "")
    blocked = threading.Event()
    world.pjsip.on_poll(partial(block, blocked))  # both commands run in one turn
    hanging_up = asyncio.ensure_future(first.hang_up(480))
    dialling = asyncio.ensure_future(world.agent.dial("sip:agent@example.com", TARGET, {}, ""))
    await asyncio.sleep(0)
    blocked.set()
    second = await dialling
    await hanging_up
    await world.agent.caught_up()
    assert [sent[:2] for sent in world.pjsip.sent[1:]] == [("end", SLOT), ("INVITE", 0)]
    assert not second.ended.done()


async def test_the_targets_of_an_address_need_no_dns(world: World) -> None:
    assert await world.agent.locate("sip:agent@192.0.2.1:5070") == ["udp://192.0.2.1:5070"]
    with pytest.raises(DialFailed, match=r"over tls, on which sip\.listen has no address"):
        await world.agent.locate("sip:agent@192.0.2.1;transport=tls")


async def test_the_target_of_every_uri_is_the_outbound_proxy(pjsip: FakePjsip) -> None:
    world = World(pjsip, SipConfig.model_validate({"outbound_proxy": "sip:192.0.2.4:5070;transport=tcp"}))
    await world.agent.start()
    [target] = await world.agent.locate("sip:agent@agent.example", "udp://192.0.2.1:5060")
    await world.agent.dial("sip:agent@agent.example", target, {}, "")
    await world.agent.stop()
    assert target == "tcp://192.0.2.4:5070"
    assert pjsip.sent[0][2:4] == ("sip:agent@agent.example", target)


# -------------------------------------------------------------------- events


async def test_connections_are_logged_on_the_loop(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.pjsip.queue_event(pj.EventTlsFailed, number=5061, text="agent.example\nconnection refused")
    await world.agent.caught_up()
    assert "TLS connection to agent.example, port 5061, failed: connection refused" in caplog.text


async def test_an_event_that_cannot_be_handled_stops_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    leg = await world.agent.dial("sip:agent@example.com", TARGET, {}, "")
    world.pjsip.queue_event(pj.EventDigit, SLOT, number=-1)  # no character
    world.pjsip.queue_event(pj.EventConfirmed, SLOT)
    await leg.answered
    assert "handling an event of PJSIP failed" in caplog.text


# -------------------------------------------------------------------- clips, certificates, counters


async def test_a_loaded_clip_can_be_played_until_it_is_dropped(world: World) -> None:
    await world.agent.load_clip("hello", Pcm(b"\0\0" * 80, 8000))
    leg = await world.agent.dial("sip:agent@example.com", TARGET, {}, "")
    playing = asyncio.ensure_future(leg.play("hello"))
    await asyncio.sleep(0)  # it posts its command
    await world.agent.caught_up()
    world.pjsip.queue_event(pj.EventClipDone, number=world.pjsip.ports[0].token)
    await playing
    world.agent.drop_clip("hello")
    world.agent.drop_clip("hello")
    with pytest.raises(KeyError):
        await leg.play("hello")


async def test_without_a_tls_address_no_certificate_is_read(world: World) -> None:
    copies = await world.agent.read_certificates(TlsConfig())
    assert copies.files == {}
    await world.agent.use_certificates(copies)


async def test_new_certificates_replace_the_present_ones(world: World, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("own")
    tls = TlsConfig.model_validate(tls_settings(pair, authority))
    present = world.endpoint.tls_files = TlsFiles(tls)
    renewed = authority.issue("renewed")
    pair.certificate.write_bytes(renewed.certificate.read_bytes())
    pair.key.write_bytes(renewed.key.read_bytes())
    copies = await world.agent.read_certificates(tls)
    assert Path(present.certificate_file).read_bytes() != renewed.certificate.read_bytes()
    await world.agent.use_certificates(copies)
    assert Path(present.certificate_file).read_bytes() == renewed.certificate.read_bytes()
    present.close()


async def test_counters_are_those_of_the_native_layer(world: World) -> None:
    assert world.agent.audio_counts() == (1, 2, 3, 4)
    assert world.agent.playout_delay() == 0.0125
    assert world.agent.pools_in_use() == 5
    assert world.agent.strangers() == 6
    assert pjsip_version()[0].isdigit()


async def test_an_endpoint_that_cannot_be_opened_is_a_startup_error(pjsip: FakePjsip) -> None:
    world = World(pjsip, SipConfig())
    world.endpoint.failing = StartupError("sip.listen: cannot be opened")
    with pytest.raises(StartupError):
        await world.agent.start()
    assert world.endpoint.closed


def _implements(agent: UserAgent) -> tuple[Dialler, Backpressure]:
    return agent, agent
