"""The bridge's output under all faults: no secret at all, and no data of a caller in the default log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sipbridge.cli import main
from tests.harness.programs.simulator import Simulator

from .secret_scene import CALLER, NEAR_SECRETS, PERSONAL, POP_SECRET, SECRETS, Scene, scene, settings_of
from .site import NUMBERS

SIGNED_LINK = re.compile(r"/pop/[\w-]+\.[\w-]+\.[\w-]+")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Scene]:
    """Everything that can happen has happened, and was logged at the most verbose level."""
    with scene(tmp_path_factory.mktemp("secrets"), cxone) as running:
        running.play()
        running.site.trunk.bridge.program.stop()
        yield running


def found(texts: tuple[str, ...], where: str) -> dict[str, str]:
    """The texts that were found, each with its surroundings."""
    places = {text: where.lower().find(text.lower()) for text in texts}
    return {text: where[max(0, at - 200) : at + 200] for text, at in places.items() if at >= 0}


def test_no_secret_is_logged(played: Scene) -> None:
    assert found((*SECRETS, *NEAR_SECRETS), played.log()) == {}
    assert SIGNED_LINK.findall(played.log()) == []


def test_no_secret_is_served(played: Scene) -> None:
    assert found((*SECRETS, *NEAR_SECRETS), "\n".join(played.served)) == {}


def test_no_secret_is_stored(played: Scene) -> None:
    stored = b"".join(played.stored).decode("latin-1")
    assert CALLER in stored
    assert found((*SECRETS, *NEAR_SECRETS), stored) == {}


def test_a_callers_data_is_logged_only_at_debug_level(played: Scene) -> None:
    usual = [line for line in played.log().splitlines() if json.loads(line)["level"] != "DEBUG"]
    assert found(PERSONAL, "\n".join(usual)) == {}


def test_every_fault_is_in_the_log(played: Scene) -> None:
    # Otherwise the tests above would have checked nothing.
    events = {json.loads(line).get("event") for line in played.log().splitlines()}
    assert events >= {
        *("call_ended", "invite_refused", "agent_fault", "agent_lost", "agent_unavailable"),
        *("cxone_signal", "cxone_token", "speech_failed", "store_failed"),
    }


@pytest.mark.parametrize("command", ["check FILE", f"route-test FILE --number {NUMBERS['acme']} --token none"])
def test_commands_print_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    good, bad = (settings_of(tmp_path, "http://127.0.0.1:1", "ws://127.0.0.1:1/") for _ in range(2))
    # Secrets under the wrong keys, and in unusable URLs.
    bad["sip"]["max_calls"] = POP_SECRET
    bad["store"]["url"] = f"redis://:{POP_SECRET}@127.0.0.1 0"
    bad["clients"]["acme"]["cxone"]["issuer"] = f"https://user:{POP_SECRET}@127.0.0.1"
    bad["clients"]["acme"]["projects"]["bot"]["agent"]["uri"] = SECRETS[0]
    # How YAML reads a mapping in braces without a blank after its colon.
    bad["clients"]["acme"]["cxone"][f"client_secret:{SECRETS[0]}"] = None
    bad["clients"]["acme"]["projects"]["bot"]["agent"]["headers"] = {f"Authorization:Bearer {SECRETS[0]}": None}
    for settings in (good, bad):
        file = tmp_path / "bridge.yaml"
        file.write_text(yaml.safe_dump(settings))
        main(command.replace("FILE", str(file)).split())
        said = "".join(capsys.readouterr())
        assert said
        assert found((*SECRETS, *NEAR_SECRETS), said) == {}
