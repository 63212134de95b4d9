"""Requests in a dialog that is over, while another call has its slot in PJSUA."""

from __future__ import annotations

from pathlib import Path

from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import client_settings, project_settings
from tests.harness.sip.raw_call import RawCall

from .contact_call import ContactCall
from .site import NUMBERS, site

CALLS = 45  # with two legs each: more than there are slots
REFER_TO = b"Refer-To: <sip:+15550199@127.0.0.1:5080>\r\n"


def test_a_refer_in_a_former_dialog_hands_off_no_other_call(tmp_path: Path, cxone: Simulator) -> None:
    former, port = reserved_port(), reserved_port()
    projects = {
        name: project_settings(name, agent={"type": "sip", "uri": f"sip:bot@127.0.0.1:{agent}"})
        for name, agent in (("former", former), ("other", port))
    }
    projects["other"]["handoff"]["allowed_routes"] = ["sip:*@127.0.0.1:5080"]
    clients = {"acme": client_settings(NUMBERS["acme"], cxone.url, projects)}
    with (
        site(tmp_path, cxone, sip={"max_calls": 2}, clients=clients) as trunk,
        RawCall(trunk.bridge.sip, port=former) as over,
    ):
        with ContactCall(trunk, "former") as caller:
            caller.invite()
            over.accept_invite()
            assert caller.wait_for_answer() == 200
            caller.acknowledge()
            over.end()
            caller.answer_bye()
        for _ in range(CALLS):
            with RawCall(trunk.bridge.sip, port=port) as agent, ContactCall(trunk, "other") as caller:
                caller.invite()
                agent.accept_invite()
                assert caller.wait_for_answer() == 200
                caller.acknowledge()
                assert over.request(b"REFER", headers=REFER_TO).split()[1] == b"481"
                caller.end()
                agent.answer_bye()
            assert caller.record()["handoff"] is None
