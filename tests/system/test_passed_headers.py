"""Standard SIP headers that a project passes to its agent, and the caller identity that the trunk asserts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.media.media_agent import MediaAgent
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.sip.raw_call import RawCall

from .site import Contact

NUMBER = "+19995550072"
PASSED = {
    "User-to-User": "3030;encoding=hex",
    "Diversion": "<sip:+15550111@trunk>;reason=unconditional",
    "History-Info": "<sip:+15550111@trunk>;index=1, <sip:+15550112@trunk>;index=1.1",
    "P-Asserted-Identity": '"Doe, J." <sip:+15550199@trunk>, <tel:+15550188>',
}


class HeaderSite:
    """A bridge with a SIP agent and a WebSocket agent."""

    def __init__(self, running: Bridge, cxone: Simulator, folder: Path, agent_port: int, agent: MediaAgent) -> None:
        self.bridge, self.cxone, self.folder, self.agent_port, self.agent = running, cxone, folder, agent_port, agent

    @contextmanager
    def call(self, project: str, contact: Contact, more: str = "") -> Iterator[RawCall]:
        headers = {
            "From": '"a" <sip:+15550100@127.0.0.1>;tag=a',
            "X-Auth-Token": token(project),
            "X-InContact-ContactId": contact.id,
            **PASSED,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + more
        with RawCall(self.bridge.sip, NUMBER.encode(), lines.encode()) as call:
            yield call

    def caller(self, project: str, contact: Contact) -> str:
        """Return the caller in the record of the call."""
        number: str = self.bridge.project("passing", project, key(project)).ended_call(contact.id)["caller_number"]
        return number


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[HeaderSite]:
    folder, port = tmp_path_factory.mktemp("passed"), reserved_port()
    names = {"pass_to_agent": [*PASSED, "X-*"], "caller": "P-Asserted-Identity"}
    with MediaAgent() as agent:
        projects = {
            "sip": project_settings("sip", agent={"type": "sip", "uri": f"sip:bot@127.0.0.1:{port}"}, headers=names),
            "websocket": project_settings("websocket", agent={"type": "websocket", "url": agent.url}, headers=names),
        }
        for project in projects.values():
            # The agents hang up at once, after which callers are handed off.
            project["handoff"]["signal"] = {"p1": "{headers.user-to-user}", "p2": "{caller}"}
        settings = bridge_settings(folder, {"passing": client_settings(NUMBER, cxone.url, projects)})
        with bridge(settings, folder) as running:
            yield HeaderSite(running, cxone, folder, port, agent)


def test_a_sip_agent_receives_passed_headers_under_their_names(site: HeaderSite) -> None:
    contact = Contact.new()
    with (
        Sipp("agent_hangs_up", site.folder, port=site.agent_port, options=call_options(hold_seconds=0.1)) as agent,
        site.call("sip", contact) as call,
    ):
        agent.await_port()
        assert call.place().status == 200
        (invite, *_) = agent.received("INVITE")
        assert {name: invite.header(name) for name in PASSED} == PASSED
        assert invite.header("X-Sipbridge-Caller") == "+15550199"
        assert invite.header("X-Auth-Token") == ""
        (signal,) = site.cxone.signals(contact.id, wait_for=1)
    assert signal["parameters"] == {"p1": PASSED["User-to-User"], "p2": "+15550199"}
    assert site.caller("sip", contact) == "+15550199"


@pytest.mark.parametrize(("privacy", "caller"), [("", "+15550199"), ("Privacy: id\r\n", "+15550100")])
def test_a_websocket_agent_receives_passed_headers_as_parameters(site: HeaderSite, privacy: str, caller: str) -> None:
    contact = Contact.new()
    with site.call("websocket", contact, privacy) as call:
        assert call.place().status == 200
        agent = site.agent.next_call()
        ((_, start),) = agent.wait_for("start")
        given = start["start"]["customParameters"]
        agent.hang_up()
    withheld = {"P-Asserted-Identity"} if privacy else set()
    assert {name: given[name] for name in PASSED if name in given} == {
        name: value for name, value in PASSED.items() if name not in withheld
    }
    assert given["caller"] == caller
    assert site.caller("websocket", contact) == caller
