"""A peer that floods with DTMF digits or host names harms neither the trunk nor the calls of other clients."""

from __future__ import annotations

import itertools
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.harness.media.media_agent import MediaAgent
from tests.harness.media.rtp import media_address
from tests.harness.ports import reserved_port
from tests.harness.programs.nameserver import Nameserver, nameserver
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import client_settings, project_settings, token
from tests.harness.sip.raw_agent import RawAgent
from tests.harness.sip.raw_call import OFFER, RawCall
from tests.harness.worker import Worker

from .site import Contact, Site
from .site import site as base_site

CLIENTS = ("hostile", "other", "ws", "brief", "redirecting")
NUMBERS = {client: f"+199955500{number}" for number, client in enumerate(CLIENTS, 81)}
# In the bridge's offers, and so in the packets to it.
EVENT_TYPE = 120
ONLY_AUDIO = OFFER.replace(b" 101\r\n", b"\r\n").replace(b"a=rtpmap:101 telephone-event/8000\r\n", b"")
PRESSES = 300
AT_ONCE, PER_SECOND = 40, 20
READING_SECONDS = 2.0
# A little less than a dialog may send.
REINVITES_AT_ONCE, REINVITES_PER_SECOND = 80, 15
HANGING = {f"hanging-{number}.test" for number in range(400)}
# More than one peer's share of lookups.
NAMES_PER_PEER = 16
IN_OFFERS, IN_CONTACTS, IN_REDIRECTIONS = (
    [f"in-{place}-{number}.test" for number in range(NAMES_PER_PEER + 8)]
    for place in ("offer", "contact", "redirection")
)
GOOD = [f"good-{number}.test" for number in range(5)]
LOOKUP_SECONDS = 0.5


@dataclass(frozen=True)
class HostileAgentSite:
    """A bridge, the address of the hostile SIP agent, and a WebSocket agent of another client."""

    trunk: Site
    port: int
    agent: MediaAgent
    redirecting: RawAgent
    names: Nameserver

    def caller(self, client: str, source: str = "127.0.0.1", contact: str = "127.0.0.1") -> RawCall:
        """Prepare a call to a client, not yet placed."""
        headers = (
            f"From: <sip:+15550100@127.0.0.1>;tag=h\r\nX-Auth-Token: {token(client)}\r\n"
            f"X-InContact-ContactId: {Contact.new().id}\r\n"
        )
        return RawCall(self.trunk.bridge.sip, NUMBERS[client].encode(), headers.encode(), contact.encode(), source)

    def status(self, client: str, offer: bytes = OFFER, source: str = "127.0.0.1") -> int:
        """Place a call and end it; return the status of its response."""
        with self.caller(client, source) as call:
            status = call.place(offer).status
            if status == 200:
                call.end()
            return status

    @contextmanager
    def hostile(self, offer: bytes = OFFER) -> Iterator[tuple[RawCall, RawCall]]:
        """A call with the hostile agent: both its legs."""
        answer = OFFER.replace(b"101", b"%d" % EVENT_TYPE)
        with RawCall(self.trunk.bridge.sip, port=self.port) as agent, self.caller("hostile") as caller:
            caller.invite(offer)
            agent.accept_invite(answer=answer)
            assert caller.wait_for_answer() == 200
            caller.acknowledge()
            yield caller, agent
            caller.end()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[HostileAgentSite]:
    with ExitStack() as stack:
        port, agent = reserved_port(), stack.enter_context(MediaAgent())
        redirecting = stack.enter_context(RawAgent())
        known = dict.fromkeys([*GOOD, "ws.test"], "127.0.0.1")
        agents = {
            "hostile": {"type": "sip", "uri": f"sip:bot@127.0.0.1:{port}"},
            "other": {"type": "prompt"},
            "brief": {"type": "prompt", "then": "hangup"},
            "redirecting": {"type": "sip", "uri": f"sip:bot@{redirecting.address}", "answer_timeout_seconds": 2},
            "ws": {"type": "websocket", "url": agent.url.replace("127.0.0.1", "ws.test")},
        }
        clients = {
            name: client_settings(number, cxone.url, {name: project_settings(name, agent=agents[name])})
            for name, number in NUMBERS.items()
        }
        clients["redirecting"]["projects"]["redirecting"]["handoff"]["allowed_routes"] = [
            "sip:*@in-redirection-*.test:*"
        ]
        silent = {*HANGING, *IN_OFFERS, *IN_CONTACTS, *IN_REDIRECTIONS}
        names = stack.enter_context(nameserver(known, silent=silent))
        folder = tmp_path_factory.mktemp("hostile")
        trunk = stack.enter_context(base_site(folder, cxone, nameserver=names, clients=clients))
        yield HostileAgentSite(trunk, port, agent, redirecting, names)


def offer_from(host: str) -> bytes:
    """An offer whose audio is at that host."""
    return OFFER.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 %s" % host.encode())


def send_many_digits(to: tuple[str, int]) -> None:
    """Send events of RFC 4733, each a press of its own in one packet, within a second."""
    with socket.socket(type=socket.SOCK_DGRAM) as rtp:
        for number in range(PRESSES):
            header = struct.pack("!BBHII", 0x80, 0x80 | EVENT_TYPE, number, number * 160, 0xF100D)
            rtp.sendto(header + struct.pack("!BBH", number % 12, 0x8A, 160), to)
            time.sleep(1 / PRESSES)


@contextmanager
def flood_of_names(agent: RawCall) -> Iterator[set[bytes]]:
    """Send re-INVITEs whose host names hang, before the block and during it; the value is their statuses."""
    hanging, statuses = iter(HANGING), set[bytes]()

    def reinvite() -> None:
        statuses.add(agent.request(b"INVITE", offer_from(next(hanging))).split()[1])

    for _ in range(REINVITES_AT_ONCE):
        reinvite()
    with Worker("flood", reinvite, lambda: 1 / REINVITES_PER_SECOND):
        yield statuses


def digits_by_info(caller: RawCall) -> int:
    """Respond to INFO for some time; return the number of digits."""
    until, digits = time.monotonic() + READING_SECONDS, set()
    while (left := until - time.monotonic()) > 0:
        caller.set_timeout(left)
        try:
            info = caller.next_request(b"INFO")
        except TimeoutError:
            break
        caller.respond(info, b"200 OK")
        digits.add(re.findall(rb"^CSeq: .*", info, re.MULTILINE)[0])
    caller.set_timeout(5)
    return len(digits)


def test_an_agents_flood_of_digits_reaches_the_trunk_at_a_bounded_rate(site: HostileAgentSite) -> None:
    with site.hostile(ONLY_AUDIO) as (caller, agent):
        began = time.monotonic()
        flood = threading.Thread(target=send_many_digits, args=[media_address(agent.bridge_invite.decode())])
        flood.start()
        assert site.status("other") == 200
        assert site.status("ws") == 200
        digits = digits_by_info(caller)
        flood.join()
        assert AT_ONCE <= digits <= AT_ONCE + PER_SECOND * (time.monotonic() - began)
        log = site.trunk.bridge.program.logged('"digits_dropped"')
        dropped = [json.loads(line) for line in log.splitlines() if '"digits_dropped"' in line]
        legs = [line["sip_call_id"] for line in dropped]
        # One per leg and cause: on a busy machine the queue to the trunk may be full as well.
        assert len({(line["sip_call_id"], line["message"]) for line in dropped}) == len(legs) > 0


def test_an_agents_digits_are_not_sent_by_info_to_a_trunk_with_telephone_event(site: HostileAgentSite) -> None:
    with site.hostile() as (caller, agent):
        send_many_digits(media_address(agent.bridge_invite.decode()))
        assert digits_by_info(caller) == 0


def test_an_agents_flood_of_hanging_names_stops_no_names_of_others(site: HostileAgentSite) -> None:
    with site.hostile() as (_, agent), flood_of_names(agent) as statuses:
        for name in GOOD:
            # PJSIP cannot wait for a name in SDP: its address is known to the next call.
            site.status("other", offer_from(name))
            time.sleep(LOOKUP_SECONDS)
            assert site.status("other", offer_from(name)) == 200
        assert site.status("ws") == 200
    assert statuses == {b"488"}


def test_the_names_in_callers_offers_count_against_their_source_also_when_calls_are_answered(
    site: HostileAgentSite,
) -> None:
    """PJSIP needs the name for the INVITE, and again for our answer, which a command sends."""
    for name in IN_OFFERS:
        assert site.status("other", offer_from(name), "127.0.0.5") == 488
    assert len(site.names.lookups.keys() & IN_OFFERS) == NAMES_PER_PEER


def test_the_names_in_callers_contacts_count_against_their_source_also_when_the_bridge_hangs_up(
    site: HostileAgentSite,
) -> None:
    for name in IN_CONTACTS:
        with site.caller("brief", "127.0.0.6", name) as call:
            assert call.place().status == 200
    site.trunk.bridge.wait_until_idle()
    assert len(site.names.lookups.keys() & IN_CONTACTS) == NAMES_PER_PEER


def test_the_names_in_an_agents_redirections_count_against_the_agent(site: HostileAgentSite) -> None:
    hosts = itertools.cycle(IN_REDIRECTIONS)
    site.redirecting.respond = lambda _: (302, [f"Contact: <sip:bot@{next(hosts)}:5060>"])
    with ExitStack() as stack:
        calls = [stack.enter_context(site.caller("redirecting")) for _ in IN_REDIRECTIONS]
        for call in calls:
            call.invite()
        assert {call.wait_for_answer() for call in calls} == {480}
        for call in calls:
            call.acknowledge()
    assert len(site.names.lookups.keys() & IN_REDIRECTIONS) == NAMES_PER_PEER
