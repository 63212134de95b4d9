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

from .secrets_site import CALLER, NEAR_SECRETS, PERSONAL, POP_SECRET, SECRETS, SecretsSite, secrets_site, settings_of
from .site import NUMBERS

SIGNED_LINK = re.compile(r"/pop/[\w-]+\.[\w-]+\.[\w-]+")


@pytest.fixture(scope="module")
def faulted_site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecretsSite]:
    """A bridge after all calls and faults, with its log at the most verbose level."""
    with secrets_site(tmp_path_factory.mktemp("secrets"), cxone) as running:
        running.run_all()
        running.site.trunk.bridge.program.stop()
        yield running


def found(texts: tuple[str, ...], where: str) -> dict[str, str]:
    """The texts that were found, each with its surroundings."""
    places = {text: where.lower().find(text.lower()) for text in texts}
    return {text: where[max(0, at - 200) : at + 200] for text, at in places.items() if at >= 0}


def test_no_secret_is_logged(faulted_site: SecretsSite) -> None:
    assert found((*SECRETS, *NEAR_SECRETS), faulted_site.log()) == {}
    assert SIGNED_LINK.findall(faulted_site.log()) == []


def test_no_secret_is_served(faulted_site: SecretsSite) -> None:
    assert found((*SECRETS, *NEAR_SECRETS), "\n".join(faulted_site.served)) == {}


def test_no_secret_is_stored(faulted_site: SecretsSite) -> None:
    stored = b"".join(faulted_site.stored).decode("latin-1")
    assert CALLER in stored
    assert found((*SECRETS, *NEAR_SECRETS), stored) == {}


def test_a_callers_data_is_logged_only_at_debug_level(faulted_site: SecretsSite) -> None:
    usual = [line for line in faulted_site.log().splitlines() if json.loads(line)["level"] != "DEBUG"]
    assert found(PERSONAL, "\n".join(usual)) == {}


def test_every_fault_is_in_the_log(faulted_site: SecretsSite) -> None:
    # Otherwise the tests above would have checked nothing.
    events = {json.loads(line).get("event") for line in faulted_site.log().splitlines()}
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
