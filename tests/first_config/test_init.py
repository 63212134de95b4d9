from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from sipbridge.cli import main
from sipbridge.config import Config, SipAgentConfig, WebsocketAgentConfig, load_config
from sipbridge.simulators.cxone.models import DEMO_TENANT
from tests.harness.programs.bridge import SIPBRIDGE
from tests.harness.programs.terminal import Terminal

Output = pytest.CaptureFixture[str]
TENANT = [
    *("--issuer", "https://cxone.niceincontact.com", "--client-id", "our-app", "--access-key-id", "the-key"),
    *("--trunk", "203.0.113.0/24", "--trunk", "198.51.100.7/32"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge.yaml"


@pytest.fixture
def tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPBRIDGE_CLIENT_SECRET", "s3cret-of-app")
    monkeypatch.setenv("SIPBRIDGE_ACCESS_KEY_SECRET", "s3cret-of-access")


def written(file: Path, *options: str) -> Config:
    assert main(["init", str(file), *options]) == 0
    return load_config(file)


def secrets(file: Path) -> dict[str, str]:
    return {path.name: path.read_text().removesuffix("\n") for path in (file.parent / "secrets").iterdir()}


def test_without_options_the_bridge_runs_on_this_machine_with_the_simulator_and_the_small_agent(file: Path) -> None:
    config = written(file)
    assert config.sip.listen == ("udp://127.0.0.1:5060", "tcp://127.0.0.1:5060")
    assert [str(network) for network in config.sip.trusted_sources] == ["127.0.0.0/8"]
    cxone = config.clients["acme"].cxone
    assert cxone.issuer == "http://127.0.0.1:9100"
    assert (cxone.client_id, cxone.client_secret.get_secret_value()) == (
        DEMO_TENANT.client_id,
        DEMO_TENANT.client_secret,
    )
    assert (cxone.access_key_id, cxone.access_key_secret.get_secret_value()) == (
        DEMO_TENANT.access_key_id,
        DEMO_TENANT.access_key_secret,
    )
    project = config.find_voice_project("acme", "voice")
    assert project is not None
    assert isinstance(project.agent, WebsocketAgentConfig)
    assert project.agent.url == "ws://127.0.0.1:9200/media"


def test_check_accepts_the_file(file: Path, capsys: Output) -> None:
    written(file)
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().err == ""


def test_the_file_holds_no_secret_and_the_secrets_are_for_their_owner_only(file: Path) -> None:
    config = written(file)
    made = secrets(file)
    assert sorted(made) == [
        "acme_access_key_secret",
        "acme_client_secret",
        "acme_voice_api_key",
        "acme_voice_token",
        "pop_link_secret",
    ]
    assert not any(secret in file.read_text() for secret in made.values())
    for path in (file.parent / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((file.parent / "secrets").stat().st_mode) == 0o700
    project = config.find_voice_project("acme", "voice")
    assert project is not None
    assert project.auth_token is not None
    assert project.auth_token.matches(made["acme_voice_token"])
    assert project.api_keys[0].matches(made["acme_voice_api_key"])


def test_the_secrets_of_two_configurations_differ(tmp_path: Path) -> None:
    one, other = tmp_path / "one" / "bridge.yaml", tmp_path / "other" / "bridge.yaml"
    written(one)
    written(other)
    generated = ("acme_voice_api_key", "acme_voice_token", "pop_link_secret")
    assert len({secrets(file)[name] for file in (one, other) for name in generated}) == 6


@pytest.mark.usefixtures("tenant")
def test_options_fill_the_file_for_a_tenant(file: Path) -> None:
    config = written(
        file,
        *TENANT,
        *("--client", "bank-1", "--project", "cards", "--number", "+1 (999) 555-0007", "--skill", "77"),
        *("--agent", "sip:bot@agents.example.com;transport=tcp", "--public-address", "198.51.100.7"),
        *("--sip", "10.0.0.5:5070", "--http", "127.0.0.1:8081", "--public-url", "https://bridge.example.com"),
    )
    assert config.sip.listen == ("udp://10.0.0.5:5070", "tcp://10.0.0.5:5070")
    assert config.sip.public_address == "198.51.100.7"
    sources = [str(network) for network in config.sip.trusted_sources]
    assert sources == ["127.0.0.1/32", "203.0.113.0/24", "198.51.100.7/32"]
    assert (config.http.listen, config.http.public_url) == ("127.0.0.1:8081", "https://bridge.example.com")
    client = config.clients["bank-1"]
    assert client.pseudo_numbers == ("+1 (999) 555-0007",)
    assert (client.cxone.client_id, client.cxone.access_key_id) == ("our-app", "the-key")
    assert client.cxone.client_secret.get_secret_value() == "s3cret-of-app"
    assert client.cxone.access_key_secret.get_secret_value() == "s3cret-of-access"
    project = client.voice_projects["cards"]
    assert isinstance(project.agent, SipAgentConfig)
    assert project.agent.uri == ("sip:bot@agents.example.com;transport=tcp",)
    assert project.handoff.destinations["care"].skill == "77"


@pytest.mark.usefixtures("tenant")
def test_a_tenant_is_called_from_outside(file: Path) -> None:
    assert written(file, *TENANT).sip.listen == ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")


def test_a_trunk_may_call_a_bridge_with_the_simulator(file: Path) -> None:
    sources = written(file, "--trunk", "203.0.113.0/24").sip.trusted_sources
    assert [str(network) for network in sources] == ["127.0.0.0/8", "203.0.113.0/24"]


@pytest.mark.parametrize("existing", ["bridge.yaml", "secrets/acme_voice_token", "secrets/pop_link_secret"])
def test_nothing_is_overwritten(file: Path, existing: str, capsys: Output) -> None:
    before = file.parent / existing
    before.parent.mkdir(exist_ok=True)
    before.write_text("mine")
    assert main(["init", str(file)]) == 1
    assert f"{before} exists, and nothing is overwritten" in capsys.readouterr().err
    assert before.read_text() == "mine"
    assert [path for path in file.parent.rglob("*") if path.is_file()] == [before]


def test_answers_that_make_no_valid_configuration_leave_no_file(file: Path, capsys: Output) -> None:
    assert main(["init", str(file), "--skill", "${NOT_SET_ANYWHERE}"]) == 1
    assert "skill: the environment variable NOT_SET_ANYWHERE is not set" in capsys.readouterr().err
    assert not [path for path in file.parent.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "secrets").write_text("a file")
    assert main(["init", str(tmp_path / "bridge.yaml")]) == 1
    assert f"{tmp_path / 'secrets'} cannot be written: File exists" in capsys.readouterr().err
    assert not (tmp_path / "bridge.yaml").exists()


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--client", "a b", "is not a valid id"),
        ("--number", "none", "is not a valid number; write digits"),
        ("--agent", "https://agents.example.com", "ws://"),
        ("--agent", "sip:", "is not a valid"),
        ("--trunk", "203.0.113.7/24", "is not a valid network"),
        ("--sip", "5060", "is not a valid listen address"),
        ("--skill", "", "is empty"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_right(
    file: Path, capsys: Output, option: str, value: str, why: str
) -> None:
    assert main(["init", str(file), option, value]) == 2
    err = capsys.readouterr().err
    assert f"'{option}': the value" in err
    assert why in err
    assert not file.exists()


def test_a_tenant_needs_its_credentials(file: Path, capsys: Output) -> None:
    assert main(["init", str(file), *TENANT]) == 2
    assert "Give SIPBRIDGE_CLIENT_SECRET: " in capsys.readouterr().err
    assert not file.exists()


def test_the_next_commands_are_printed(file: Path, capsys: Output) -> None:
    written(file)
    out = capsys.readouterr().out
    commands = re.findall(r"^  (sipbridge \S+)", out, re.MULTILINE)
    assert commands == ["sipbridge simulate", "sipbridge agent", "sipbridge doctor", "sipbridge run", "sipbridge call"]


def test_the_next_commands_can_be_pasted_into_a_shell(tmp_path: Path, capsys: Output) -> None:
    written(tmp_path / "a b.yaml")
    assert f"sipbridge run '{tmp_path / 'a b.yaml'}'" in capsys.readouterr().out


def test_a_terminal_is_asked_again_after_a_wrong_answer_and_shows_no_secret(file: Path) -> None:
    with Terminal([SIPBRIDGE, "init", file, "--skill", "77"]) as person:
        person.answer("CXone", "https://cxone.niceincontact.com")
        person.answer("client_id", "our-app")
        person.answer("client_secret", "s3cret-of-app")
        person.answer("access key", "the-key")
        person.answer("secret of the tenant's access key", "s3cret-of-access")
        person.answer("network", "203.0.113.7/24")
        person.answer("is not a valid network", "203.0.113.0/24")
        person.answer("CXone business unit", "bank")
        person.answer("id for the voice agent", "")
        person.answer("pseudo number", "")
        person.answer("URL of the voice agent", "wss://agents.example.com/media")
        person.answer("desktops", "https://bridge.example.com")
        assert person.wait() == 0, person.text
    assert "s3cret" not in person.text
    config = load_config(file)
    assert [str(network) for network in config.sip.trusted_sources] == ["127.0.0.1/32", "203.0.113.0/24"]
    client = config.clients["bank"]
    assert client.cxone.client_secret.get_secret_value() == "s3cret-of-app"
    assert client.voice_projects["voice"].handoff.destinations["care"].skill == "77"
