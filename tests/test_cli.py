from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sipbridge
from sipbridge.app.preflight import read_config
from sipbridge.cli import main
from sipbridge.config import AuthToken, Config, hash_secret
from sipbridge.errors import StartupError

EXAMPLE = Path(__file__).parent.parent / "config" / "example.yaml"
SECRETS = {
    "SIPBRIDGE_POP_LINK_SECRET": "s3cret-of-pop-links",
    "ACME_CLIENT_ID": "app",
    "ACME_CLIENT_SECRET": "s3cret-of-app",
    "ACME_ACCESS_KEY_ID": "key",
    "ACME_ACCESS_KEY_SECRET": "s3cret-of-access",
    "ACME_BILLING_TOKEN": "s3cret-of-billing",
    "ACME_BILLING_API_KEY": "s3cret-of-api",
    "ACME_WEBCHAT_API_KEY": "s3cret-of-chat-api",
    "ACME_WEBHOOK_SECRET": "s3cret-of-webhook",
    "ACME_BOX_SECRET": "s3cret-of-the-box",
}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return EXAMPLE


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text("sip: {max_calls: -1}\ndrain_second: 5\n")
    return file


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Replace the service, which needs PJSIP; collect the configurations of the files that it is called with."""
    called: list[Config] = []
    module = ModuleType("sipbridge.app.service")

    def serve(file: Path, log_format: str) -> int:
        assert log_format == "json"  # standard error is not a terminal here
        called.append(read_config(file))
        return 3

    module.main = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sipbridge.app.service", module)
    monkeypatch.setattr(sipbridge, "service", module, raising=False)
    return called


Output = pytest.CaptureFixture[str]


def test_the_example_is_valid_and_its_secrets_stay_hidden(example: Path, capsys: Output) -> None:
    assert main(["check", str(example)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{example}: valid\n")
    assert "client acme: 1 pseudo number\n" in out
    assert "project billing: prompt agent, hands off to care, sales, desk\n" in out
    assert "project webchat: chat, hands off over web (dfo), sms (byoc)\n" in out
    assert "warning: http.public_url" in out
    assert err == ""
    assert "s3cret" not in out


def test_check_prints_one_line_per_problem(bad: Path, capsys: Output) -> None:
    assert main(["check", str(bad)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{bad}: clients: is missing; it is required",
        f"{bad}:2: drain_second: is an unknown key; did you mean drain_seconds?",
        f"{bad}:1: sip.max_calls: is too small; it must be over 0",
    ]


@pytest.mark.parametrize("number", ["+19995550001", "1 (999) 555.0001"])
def test_route_test_prints_client_and_project(example: Path, capsys: Output, number: str) -> None:
    assert main(["route-test", str(example), "--number", number, "--token", SECRETS["ACME_BILLING_TOKEN"]]) == 0
    assert capsys.readouterr().out == "client acme, project billing\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--number", "+19995550009", "--token", SECRETS["ACME_BILLING_TOKEN"]], "404 unknown_number"),
        (["--number", "+19995550001", "--token", "wrong"], "403 token_refused"),
        (["--number", "+19995550001"], "403 token_refused"),
    ],
)
def test_route_test_prints_why_there_is_no_route(example: Path, capsys: Output, arguments: list[str], why: str) -> None:
    assert main(["route-test", str(example), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"sipbridge: refused with {why}: ")
    assert err.count("\n") == 1


def test_a_dash_reads_the_token_of_route_test_from_standard_input(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    arguments = ["route-test", str(example), "--number", "+19995550001", "--token", "-"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{SECRETS['ACME_BILLING_TOKEN']}\n"))
    assert main(arguments) == 0
    assert capsys.readouterr().out == "client acme, project billing\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    assert main(arguments) == 1
    assert "403 token_refused" in capsys.readouterr().err


def test_route_test_refuses_a_hash(example: Path, capsys: Output) -> None:
    token = hash_secret(SECRETS["ACME_BILLING_TOKEN"])
    assert main(["route-test", str(example), "--number", "+19995550001", "--token", token]) == 2
    assert "is a hash; give the token" in capsys.readouterr().err


def test_warnings_give_the_line_of_the_file(example: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("ACME_BILLING_TOKEN", "short")
    rows = example.read_text().splitlines()
    line = next(number for number, row in enumerate(rows, 1) if "auth_token: ${ACME_BILLING_TOKEN}" in row)
    assert main(["check", str(example)]) == 0
    warning = "clients.acme.projects.billing.auth_token: is under 16 characters"
    assert f"{example}:{line}: warning: {warning}" in capsys.readouterr().out


@pytest.mark.parametrize("given", [["{}"], ["--config", "{}"]])
@pytest.mark.parametrize("command", ["check", "run", "route-test"])
def test_every_command_accepts_the_file_as_argument_and_as_option(
    example: Path, service: list[Config], command: str, given: list[str]
) -> None:
    arguments = [word.format(example) for word in given]
    if command == "route-test":
        arguments += ["--number", "+19995550001", "--token", SECRETS["ACME_BILLING_TOKEN"]]
    assert main([command, *arguments]) == (3 if command == "run" else 0)
    assert len(service) == (command == "run")


@pytest.mark.parametrize("given", [[], ["{}", "--config", "{}"]])
def test_the_file_must_be_given_exactly_once(example: Path, capsys: Output, given: list[str]) -> None:
    assert main(["check", *(word.format(example) for word in given)]) == 2
    assert "FILE or --config FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["init"],
        ["call"],
        ["doctor"],
        ["run"],
        ["check"],
        ["route-test"],
        ["simulate"],
        ["agent"],
        ["bot"],
        ["hash-token"],
    ],
)
def test_help_has_a_short_option(capsys: Output, command: list[str]) -> None:
    assert main([*command, "-h"]) == 0
    assert capsys.readouterr().out.startswith("Usage: sipbridge")


def test_run_passes_the_configuration_to_the_service(example: Path, service: list[Config]) -> None:
    assert main(["run", "--config", str(example)]) == 3
    assert list(service[0].clients) == ["acme"]


def test_run_does_not_start_with_a_bad_configuration(bad: Path, service: list[Config], capsys: Output) -> None:
    assert main(["run", "--config", str(bad)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert service == []


def test_a_failed_start_prints_one_line(
    example: Path, service: list[Config], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def fail(*_: object) -> int:
        raise StartupError("the address 127.0.0.1:5060 is\nin use")

    monkeypatch.setattr(sys.modules["sipbridge.app.service"], "main", fail)
    assert main(["run", "--config", str(example)]) == 1
    assert capsys.readouterr().err == "sipbridge: the address 127.0.0.1:5060 is in use\n"
    assert service == []


def test_simulate_listens_on_the_given_address(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, int, bool]] = []
    module = ModuleType("sipbridge.simulators.cxone")
    module.main = lambda host, port, quiet: called.append((host, port, quiet)) or 0  # type: ignore[attr-defined,func-returns-value]
    monkeypatch.setitem(sys.modules, "sipbridge.simulators.cxone", module)
    monkeypatch.setattr(sipbridge, "simulator", module, raising=False)
    assert main(["simulate"]) == 0
    assert main(["simulate", "--quiet", "--listen", "[::1]:0"]) == 0
    assert called == [("127.0.0.1", 9100, False), ("::1", 0, True)]


def test_agent_passes_its_address_and_its_options_to_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[object, ...]] = []
    module = ModuleType("sipbridge.simulators.echo_agent")
    module.main = lambda *arguments: called.append(arguments) or 0  # type: ignore[attr-defined,func-returns-value]
    monkeypatch.setitem(sys.modules, "sipbridge.simulators.echo_agent", module)
    monkeypatch.setattr(sipbridge, "echo_agent", module, raising=False)
    assert main(["agent"]) == 0
    assert main(["agent", "--listen", "[::1]:0", "--keys", "4357#", "--destination", "sales", "--reason", "asked"]) == 0
    assert main(["agent", "--utterance", "One moment, please."]) == 0
    assert called == [
        ("127.0.0.1", 9200, "0", {}),
        ("::1", 0, "4357#", {"destination": "sales", "reason": "asked"}),
        ("127.0.0.1", 9200, "0", {"utterance": "One moment, please."}),
    ]


def test_bot_passes_its_address_and_its_options_to_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[object, ...]] = []
    module = ModuleType("sipbridge.simulators.echo_bot")
    module.make_app = lambda *arguments: arguments  # type: ignore[attr-defined]
    module.main = lambda *arguments: called.append(arguments)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sipbridge.simulators.echo_bot", module)
    monkeypatch.setattr("sipbridge.simulators.echo_bot", module, raising=False)
    monkeypatch.setenv("SIPBRIDGE_API_KEY", "key-of-chat")
    assert main(["bot", "--client", "acme", "--project", "chat"]) == 0
    options = ["--listen", "[::1]:0", "--bridge", "https://bridge", "--key", "other", "--channel", "web"]
    assert main(["bot", "--client", "acme", "--project", "chat", *options]) == 0
    assert called == [
        ("127.0.0.1", 9300, ("http://127.0.0.1:8080", "key-of-chat", "acme", "chat", None)),
        ("::1", 0, ("https://bridge", "other", "acme", "chat", "web")),
    ]


def test_hash_token_hashes_an_argument(capsys: Output) -> None:
    assert main(["hash-token", "a-long-random-token"]) == 0
    out, err = capsys.readouterr()
    assert AuthToken(out.strip()).matches("a-long-random-token")
    assert err == ""


@pytest.mark.parametrize("given", [[], ["-"]])
def test_hash_token_hashes_a_line_of_standard_input(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a-long-random-token\n"))
    assert main(["hash-token", *given]) == 0
    assert AuthToken(capsys.readouterr().out.strip()).matches("a-long-random-token")


def test_hash_token_generates_a_new_token_each_time(capsys: Output) -> None:
    made = set()
    for _ in range(2):
        assert main(["hash-token", "--generate"]) == 0
        token, hashed = (line.split()[1] for line in capsys.readouterr().out.splitlines())
        assert AuthToken(hashed).matches(token)
        made.add(token)
    assert len(made) == 2


def test_hash_token_warns_of_a_token_that_can_be_guessed(capsys: Output) -> None:
    assert main(["hash-token", "short"]) == 0
    assert "can be guessed" in capsys.readouterr().err


def test_version(capsys: Output) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sipbridge {sipbridge.__version__}\n"


@pytest.mark.parametrize(
    "command", ["init", "call", "doctor", "run", "check", "route-test", "simulate", "agent", "bot", "hash-token"]
)
def test_every_command_has_help(command: str, capsys: Output) -> None:
    assert main([command, "--help"]) == 0
    assert f"Usage: sipbridge {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["init", "--issuer", "https://cxone.niceincontact.com"],
        ["call"],
        ["doctor"],
        ["call", "file", "--digits", "x"],
        ["call", "file", "--sip", "127.0.0.1"],
        ["--nothing"],
        ["run"],
        ["check"],
        ["route-test", "file"],
        ["simulate", "--listen", "nowhere"],
        ["agent", "--listen", "127.0.0.1"],
        ["agent", "--keys", ""],
        ["agent", "--keys", "12x"],
        ["bot", "--client", "acme", "--project", "chat"],
        ["bot", "--client", "acme", "--project", "chat", "--key", "k", "--listen", "nowhere"],
        ["hash-token", "token", "--generate"],
        ["hash-token", ""],
        ["hash-token", "sha256:00:00"],
    ],
)
def test_wrong_usage_prints_one_line_and_exits_with_2(arguments: list[str], capsys: Output) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sipbridge: ")
    assert err.count("\n") == 1


def test_the_module_runs_like_the_command(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-m", "sipbridge", "check", str(tmp_path / "none.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory; give a readable file\n"
