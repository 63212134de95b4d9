from __future__ import annotations

import io
from pathlib import Path

import pytest

from sipbridge.cli import main
from sipbridge.config import ListenUrl, hash_secret, load_config
from sipbridge.errors import SetupError
from sipbridge.terminal import Style, show_progress
from sipbridge.trial_call.target import Given, Target, find_target


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    assert main(["init", str(tmp_path / "bridge.yaml")]) == 0
    return tmp_path / "bridge.yaml"


def target(file: Path, given: Given | None = None) -> Target:
    return find_target(file, load_config(file), given or Given())


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_file_has_all_that_a_call_needs(file: Path) -> None:
    found = target(file)
    assert (found.transport, found.host, found.port, found.number) == ("udp", "127.0.0.1", 5060, "+19995550001")
    assert found.events_url == "http://127.0.0.1:8080/v1/acme/voice/events"
    secrets = file.parent / "secrets"
    assert found.key == (secrets / "acme_voice_api_key").read_text().strip()
    headers = dict(found.headers)
    assert headers["X-Auth-Token"] == (secrets / "acme_voice_token").read_text().strip()
    assert headers["X-InContact-ContactId"] == found.contact_id
    assert found.digits == "0"
    assert found.simulator == "http://127.0.0.1:9100"


def test_no_contact_of_cxone_has_the_contact_id_that_is_made_up(file: Path) -> None:
    one, other = target(file), target(file)
    assert one.contact_id != other.contact_id
    assert not one.contact_id.isdigit()


def test_a_bridge_that_listens_on_all_addresses_is_called_on_this_machine(file: Path) -> None:
    change(file, "udp://127.0.0.1:5060", "udp://0.0.0.0:5062")
    change(file, 'listen: "127.0.0.1:8080"', 'listen: "0.0.0.0:8081"')
    found = target(file)
    assert (found.host, found.port) == ("127.0.0.1", 5062)
    assert found.events_url.startswith("http://127.0.0.1:8081/")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (Given(), 30),
        (Given(digits=""), 0),
        (Given(digits="", handoff_seconds=20), 20),
        (Given(handoff_seconds=5), 5),
    ],
)
def test_a_handoff_is_waited_for_after_digits_or_if_asked_for(file: Path, given: Given, seconds: float) -> None:
    assert target(file, given).handoff_seconds == seconds


def test_options_come_before_the_file(file: Path) -> None:
    given = Given(
        number="+1",
        token="t",
        key="k",
        sip=ListenUrl("tcp://10.0.0.1:5070"),
        api="https://b",
        contact_id="c",
        digits="1#",
    )
    found = target(file, given)
    assert (found.transport, found.host, found.port, found.number) == ("tcp", "10.0.0.1", 5070, "+1")
    assert (found.key, found.contact_id, found.digits) == ("k", "c", "1#")
    assert found.events_url == "https://b/v1/acme/voice/events"
    assert dict(found.headers)["X-Auth-Token"] == "t"


def test_a_file_with_hashes_gives_no_key_and_needs_the_token(file: Path) -> None:
    for name in ("token", "api_key"):
        (file.parent / "secrets" / f"acme_voice_{name}").write_text(hash_secret("some-other-long-secret"))
    with pytest.raises(SetupError, match="only the hash of the token of project voice; give it with --token -"):
        target(file)
    assert target(file, Given(token="t")).key is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("udp://127.0.0.1:5060", "udp://127.0.0.1:0", "give its address with --sip"),
        ('listen: "127.0.0.1:8080"', 'listen: "127.0.0.1:0"', "give its address with --api"),
        ("  max_calls: 100", "  max_calls: 100\n  srtp: mandatory", "a test call has no SRTP"),
        ("  max_calls: 100", "  max_calls: 100\n  codecs: [PCMA]", "add PCMU to sip.codecs"),
    ],
)
def test_a_bridge_that_cannot_be_called_so_is_named_with_what_to_do(file: Path, old: str, new: str, why: str) -> None:
    change(file, old, new)
    with pytest.raises(SetupError, match=why):
        target(file)


def test_of_several_voice_agents_one_has_to_be_given(file: Path) -> None:
    text = file.read_text()
    voice = text[text.index("      voice:") :]
    other = voice.replace("voice:", "orders:", 1).replace("file:secrets/acme_voice_token", "another-long-token-text")
    other = other.replace("file:secrets/acme_voice_api_key", "another-long-key-text")
    file.write_text(text + other)
    with pytest.raises(SetupError, match="--client acme --project voice, --client acme --project orders"):
        target(file)
    assert dict(target(file, Given(project="orders")).headers)["X-Auth-Token"] == "another-long-token-text"
    with pytest.raises(SetupError, match="no such voice agent"):
        target(file, Given(client="nobody"))


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colour_gets_none(environ: dict[str, str]) -> None:
    assert Style.of_output(FakeTerminal(), environ) == Style()
    assert Style.of_output(FakeTerminal(), {"NO_COLOR": ""}).bold
    assert Style.of_output(io.StringIO(), {}) == Style()


def test_progress_is_for_terminals() -> None:
    terminal, pipe = FakeTerminal(), io.StringIO()
    dumb = FakeTerminal()
    for stream, environ in ((terminal, {}), (pipe, {}), (dumb, {"TERM": "dumb"})):
        show = show_progress(stream, environ)
        show("speaking")
        show("")
    assert terminal.getvalue() == "\r\033[Kspeaking …\r\033[K"
    assert pipe.getvalue() == dumb.getvalue() == ""
