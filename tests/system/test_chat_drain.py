from __future__ import annotations

from pathlib import Path

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp, call_options
from tests.harness.settings import project_settings, token

from .chat_site import CLIENT, ChatSite, chat_settings, prepare_channels


def test_drain_refuses_new_chats_and_suspends_the_others_for_the_next_start(tmp_path: Path, cxone: Simulator) -> None:
    """A call keeps the drain going: chats in progress relay meanwhile."""
    prepare_channels(cxone.desk)
    write_silence(tmp_path / "silence.wav", 30)
    settings = chat_settings(tmp_path, cxone) | {"drain_seconds": 20}
    voice = project_settings("voice", agent={"type": "prompt", "audio": str(tmp_path / "silence.wav")})
    settings["clients"][CLIENT]["projects"]["voice"] = voice
    with bridge(settings, tmp_path, name="first") as running:
        chats = ChatSite(running, cxone)
        chat = chats.active()
        keys = {"token": token("voice"), "contact_id": "115700000001", "main_contact_id": "115700000000"}
        number = settings["clients"][CLIENT]["pseudo_numbers"][0]
        with Sipp(
            "caller_hangs_up",
            tmp_path,
            remote=running.sip,
            number=number,
            keys=keys,
            options=call_options(hold_seconds=4),
        ) as caller:
            running.wait_for_metric(1, "sipbridge_calls_active")
            running.program.terminate()
            running.wait_for_metric(1, "sipbridge_draining")
            refused = chat.project.request("chats", "POST", {"id": "another"})
            assert (refused.status, refused.json()["code"]) == (503, "unavailable")
            chat.say("still here")
            assert chat.at_desk(1) == ["still here"]
            chat.reported("so am I")
            caller.check()
        assert running.program.wait(20) == 0
        assert '"1 chat suspended until the next start"' in running.program.log.read_text()
    with chat.stack, bridge(settings, tmp_path, name="second") as running:
        running.wait_for_metric(1, "sipbridge_chats_resumed_total")
        chat.project = ChatSite(running, cxone).project()
        chat.listen()
        chat.say("back again")
        assert chat.at_desk(2) == ["still here", "back again"]
        chat.end()
        chat.ended()
