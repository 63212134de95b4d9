from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import yaml

from tests.harness.media.audio import write_silence
from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.program import Program
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import project_settings
from tests.harness.waiting import wait_for

from .site import site


def test_new_calls_use_the_new_configuration_and_calls_in_progress_keep_theirs(
    tmp_path: Path, cxone: Simulator
) -> None:
    with site(tmp_path, cxone) as trunk:
        talking = trunk.call("release", "waiting")
        call_id = talking.wait_until_answered()
        settings = trunk.settings()
        projects = settings["clients"]["acme"]["projects"]
        for name in ("waiting", "release"):
            projects[name]["handoff"]["destinations"]["care"]["skill"] = "777"
        projects["late"] = project_settings("late")
        projects["release"]["auth_token"] = "changed"
        del projects["greeting"]
        trunk.reload(yaml.safe_dump(settings))
        # What is new, what has changed, what was removed.
        assert trunk.call("release", "late").wait_for_scenario().signals()[0]["p2"] == "10000002"
        assert trunk.call("release", sent_token="changed").wait_for_scenario().signals()[0]["p2"] == "777"
        assert trunk.call("bad_token", "greeting").wait_for_scenario().project.request("calls").status == 401
        # The call in progress keeps its destination, and its project's key.
        assert talking.project.request(f"calls/{call_id}/handoff", "POST", {}).status == 202
        assert talking.wait_for_scenario().signals()[0]["p2"] == "10000002"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clients: [", "check the indentation"),
        ("clients: {}\n", "clients"),
        ("", "is not a mapping"),
    ],
)
def test_an_invalid_file_changes_nothing_and_its_error_is_logged(
    tmp_path: Path, cxone: Simulator, text: str, said: str
) -> None:
    with site(tmp_path, cxone) as trunk:
        before = (tmp_path / "bridge.yaml").read_text()
        trunk.reload(text, "client_error")
        log = trunk.bridge.program.logged("not reloaded")
        line = next(line for line in log.splitlines() if "not reloaded" in line)
        assert "bridge.yaml" in line
        assert said in line
        trunk.call("release").wait_for_scenario()
        trunk.reload(before)


def test_a_change_that_needs_a_restart_is_logged_and_has_no_effect(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        settings = trunk.settings()
        settings["sip"]["max_calls"] = 1
        settings["sip"]["trusted_sources"] = ["192.0.2.0/24"]
        trunk.reload(yaml.safe_dump(settings))
        trunk.bridge.program.logged("sip.max_calls: changed, which takes effect with a restart")
        trunk.call("untrusted_source").wait_for_scenario()
        settings["sip"]["trusted_sources"] = ["127.0.0.0/8"]
        trunk.reload(yaml.safe_dump(settings))
        trunk.call("release").wait_for_scenario()


def test_a_cxone_token_is_kept_by_a_reload_that_does_not_change_its_client(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        trunk.call("release").wait_for_scenario()
        count = trunk.count()
        settings = trunk.settings()
        settings["clients"]["query"]["cxone"]["business_unit"] = "7"
        for _ in range(3):
            trunk.reload(yaml.safe_dump(settings))
        trunk.call("release").wait_for_scenario()
        trunk.call("release", "query").wait_for_scenario()
        assert count.grows_by(1, "sipbridge_token_requests_total", client="query", result="success")
        assert count.grows_by(0, "sipbridge_token_requests_total", client="acme")


def test_a_new_recording_of_a_prompt_is_played_after_a_reload(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        write_silence(tmp_path / "clip.wav", 1)
        trunk.reload((tmp_path / "bridge.yaml").read_text())
        record = trunk.call("release", "waiting").wait_for_scenario(4).record()
        assert record["handoff"]["state"] == "handoff_completed"


def test_a_reload_signal_during_the_start_takes_effect_once_the_bridge_is_ready(
    tmp_path: Path, cxone: Simulator
) -> None:
    with site(tmp_path, cxone):
        pass
    file = tmp_path / "bridge.yaml"
    log = tmp_path / "early.log"
    with Program([SIPBRIDGE, "run", "--config", file], log) as program:
        # From the moment that it reads its file it can be signalled; how far it is then is chance.
        wait_for(lambda: _blocks(program.pid, signal.SIGHUP), "the bridge to begin")
        os.kill(program.pid, signal.SIGHUP)
        program.line_with("ready")
        program.logged("config_read")


def test_a_reload_signal_during_a_failed_start_is_not_in_its_log(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        settings = trunk.settings()
        settings["store"]["url"] = f"sqlite:///{tmp_path}/second.db"
        settings["sip"]["listen"] = [f"udp://{trunk.bridge.sip}", "tcp://127.0.0.1:0"]
        file, log = tmp_path / "second.yaml", tmp_path / "second.log"
        file.write_text(yaml.safe_dump(settings))
        with Program([SIPBRIDGE, "run", "--config", file], log) as program:
            wait_for(lambda: _blocks(program.pid, signal.SIGHUP), "the bridge to begin")
            os.kill(program.pid, signal.SIGHUP)
            assert program.wait(30) == 1
        assert "start failed: sip.listen" in log.read_text()
        assert "not reloaded" not in log.read_text()


def _blocks(pid: int, number: int) -> bool:
    """True if the program's main thread blocks a signal (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(mask, 16) & 1 << (number - 1))


def test_all_calls_are_answered_during_reloads_in_quick_succession(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone) as trunk:
        calls = trunk.call("release", "ending", calls=60)
        answers = 0

        def is_due() -> bool:
            answered = trunk.bridge.metrics().value("sipbridge_invites_total", code="200")
            return answered >= answers or not calls.sipp.program.is_running

        while calls.sipp.program.is_running:
            # Every fifth call triggers three reloads at once, like a deployment that changes three files.
            # More would be more than this machine carries, and callers would get 503.
            wait_for(is_due, f"{answers} answers", 30)
            answers += 5
            for _ in range(3):
                os.kill(trunk.bridge.program.pid, signal.SIGHUP)
        calls.sipp.wait()
        trunk.bridge.wait_until_idle()
        invites = trunk.bridge.metrics().by("sipbridge_invites_total", "code")
        # On a busy machine the bridge refuses some calls. None is left without a response.
        assert set(invites) <= {("200",), ("503",)}, invites
        assert sum(invites.values()) == 60
        assert invites["200",] > 30
        assert trunk.bridge.program.stop() == 0
        assert "StopIteration" not in trunk.bridge.program.log.read_text()
