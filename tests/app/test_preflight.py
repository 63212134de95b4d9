"""Problems that prevent a bridge from running on this machine, found before anything is opened."""

from __future__ import annotations

import resource
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sipbridge.app import preflight
from sipbridge.app.preflight import find_all_warnings, find_problems, read_config
from sipbridge.config import Config
from sipbridge.errors import ConfigError
from tests.config.files import tree


def _config(folder: Path, **sections: Mapping[str, Any]) -> Config:
    """Return a configuration, which listens on free ports by default."""
    sip = {"listen": ["udp://127.0.0.1:0"], "max_calls": 5, **sections.pop("sip", {})}
    http = {"listen": "127.0.0.1:0", **sections.pop("http", {})}
    store = {"url": f"sqlite:///{folder}/calls.db", **sections.pop("store", {})}
    return Config.model_validate(tree(sip=sip, http=http, store=store, **sections))


def _problems(folder: Path, environ: Mapping[str, str] | None = None, **sections: Mapping[str, Any]) -> list[str]:
    return list(find_problems(_config(folder, **sections), environ or {}))


def test_a_good_configuration_has_no_problem(tmp_path: Path) -> None:
    assert _problems(tmp_path) == []


def _admin(listen: str) -> dict[str, Any]:
    return {"keys": ["key-of-the-operator"], "listen": listen}


@pytest.mark.parametrize(
    ("sip", "http", "problem"),
    [
        (["udp://127.0.0.1:45601", "udp://localhost:45601"], {}, "sip.listen[1]: has the port of sip.listen[0]"),
        (["tls://0.0.0.0:45601"], {"listen": "localhost:45601"}, "http.listen: has the port of sip.listen[0]"),
        (
            ["udp://127.0.0.1:0"],
            {"listen": "127.0.0.1:45601", "admin": _admin("localhost:45601")},
            "http.admin.listen: has the port of http.listen",
        ),
        (
            ["udp://127.0.0.1:0"],
            {"listen": "0.0.0.0:45601", "admin": _admin("127.0.0.2:45601")},
            "http.admin.listen: has the port of http.listen",
        ),
    ],
)
def test_two_addresses_that_resolve_to_one_collide(
    tmp_path: Path, sip: list[str], http: dict[str, Any], problem: str
) -> None:
    assert _problems(tmp_path, sip={"listen": sip}, http=http) == [f"{problem}; give it another"]


@pytest.mark.parametrize(
    ("sip", "http"),
    [
        (["udp://127.0.0.1:45601", "tcp://127.0.0.1:45601"], "127.0.0.1:45602"),
        (["tcp://127.0.0.1:45601", "tcp://127.0.0.2:45601"], "127.0.0.3:45601"),
        (["udp://127.0.0.1:45601"], "127.0.0.1:45601"),
        (["tcp://0.0.0.0:45601"], "[::]:45601"),
        (["udp://localhost:0", "udp://127.0.0.1:0"], "127.0.0.1:0"),
    ],
)
def test_addresses_that_can_both_be_opened_do_not_collide(tmp_path: Path, sip: list[str], http: str) -> None:
    assert _problems(tmp_path, sip={"listen": sip}, http={"listen": http}) == []


def test_on_a_machine_without_ipv6_only_the_ipv4_address_of_a_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return opened(family, *rest)

    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    monkeypatch.setattr(socket, "socket", without_ipv6)
    assert _problems(tmp_path, http={"listen": "localhost:0"}) == []


def test_a_public_address_must_resolve(tmp_path: Path) -> None:
    assert _problems(tmp_path, sip={"public_address": "127.0.0.1"}) == []
    assert _problems(tmp_path, sip={"public_address": "no-such-host.invalid"}) == [
        "sip.public_address: has no IPv4 address in DNS; write the address, or a name that has one"
    ]


def test_a_public_address_that_does_not_resolve_is_a_warning_to_a_running_bridge() -> None:
    def warnings(public_address: str) -> list[str]:
        config = Config.model_validate(tree(sip={"public_address": public_address, "max_calls": 1}))
        started = Config.model_validate(tree(sip={"max_calls": 1}))
        assert not [problem for problem in find_problems(config, {}, running=started) if "public_address" in problem]
        return [text for text in find_all_warnings(config, running=started) if "public_address" in text]

    assert warnings("127.0.0.1") == []
    (warning,) = warnings("no-such-host.invalid")
    assert warning.startswith("sip.public_address: has no IPv4 address in DNS; ")
    assert warning.endswith(", before the next start")


# Addresses of another machine, and names that DNS does not have.
_GONE: dict[str, dict[str, Any]] = {
    "sip.listen[0]": {"sip": {"listen": ["udp://no-such-host.invalid:5060"]}},
    "sip.listen[1]": {"sip": {"listen": ["udp://127.0.0.1:0", "tcp://192.0.2.9:5060"]}},
    "http.listen": {"http": {"listen": "192.0.2.9:8080"}},
    "http.admin.listen": {"http": {"admin": _admin("no-such-host.invalid:8081")}},
    "store.journal": {"store": {"journal": "/dev/null/calls.journal"}},
}


@pytest.mark.parametrize("key", _GONE)
def test_what_a_running_bridge_has_open_blocks_no_reload_but_is_a_warning(tmp_path: Path, key: str) -> None:
    gone, before = _config(tmp_path, **_GONE[key]), _config(tmp_path)
    (problem,) = find_problems(gone, {})
    assert problem.startswith(f"{key}: ")
    assert list(find_problems(gone, {}, running=gone)) == []
    assert f"{problem}, before the next start" in find_all_warnings(gone, running=gone)
    # A bridge that has started with others has not opened it.
    assert list(find_problems(gone, {}, running=before)) == [problem]
    assert not [text for text in find_all_warnings(gone, running=before) if text.startswith(problem)]


def test_an_address_that_collides_with_an_open_one_blocks_a_reload(tmp_path: Path) -> None:
    sip = {"listen": ["tcp://127.0.0.1:45601"]}
    read = _config(tmp_path, sip=sip, http={"listen": "127.0.0.1:45601"})
    (problem,) = find_problems(read, {}, running=_config(tmp_path, sip=sip))
    assert problem == "http.listen: has the port of sip.listen[0]; give it another"


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", ".lock", ".chats", ".chats-wal", ".chats.lock"])
def test_the_files_beside_the_database_must_not_be_directories(tmp_path: Path, suffix: str) -> None:
    beside = tmp_path / f"calls.db{suffix}"
    beside.mkdir()
    assert _problems(tmp_path) == [f"store.url: {beside} is not a file; remove it, or name another"]


def test_the_journal_must_not_be_a_directory(tmp_path: Path) -> None:
    journal = tmp_path / "calls.db.journal"
    journal.mkdir()
    assert _problems(tmp_path) == [f"store.journal: {journal} is not a file; remove it, or name another"]


def test_an_unknown_log_level_is_a_problem(tmp_path: Path) -> None:
    assert _problems(tmp_path, {"SIPBRIDGE_LOG_LEVEL": "debug"}) == []
    assert _problems(tmp_path, {"SIPBRIDGE_LOG_LEVEL": "verbose"}) == [
        "SIPBRIDGE_LOG_LEVEL: is not a valid log level; write DEBUG, INFO, WARNING or ERROR"
    ]


def test_too_few_descriptors_for_one_call_are_a_problem_and_for_all_calls_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.model_validate(tree(sip={"max_calls": 100}))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 70))
    (problem,) = _problems(tmp_path)
    assert problem.startswith("open files: the limit of 70 is too low for a single call; raise it to ")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 120))
    assert _problems(tmp_path) == []
    assert find_all_warnings(config)[0].startswith(
        "open files: the limit of 120 carries 20 calls, sip.max_calls is 100; "
    )


def test_descriptors_of_chats_count_at_check_start_and_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = {"channels": {"web": {"type": "dfo", "brand_id": 1, "channel_id": "chat_1", "environment": "NA1"}}}
    cxone = {"client_id": "a", "client_secret": "b", "access_key_id": "c", "access_key_secret": "d"}
    clients = {"acme": {"cxone": cxone, "projects": {"bot": {"chat": chat}}}}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 1024))
    config = Config.model_validate(tree(sip={"max_calls": 10}) | {"clients": clients, "max_chats": 1000})
    for running in (None, config):
        assert find_all_warnings(config, running=running)[0].startswith(
            "open files: the limit of 1024 carries 0 calls "
        )


def test_a_problem_of_the_machine_has_the_line_of_its_key(tmp_path: Path) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text(
        "sip:\n  listen: [udp://127.0.0.1:0]\n  public_address: no-such-host.invalid\n"
        "http: {listen: 127.0.0.1:0}\n"
        "clients:\n  acme:\n    pseudo_numbers: ['1']\n"
        "    cxone: {client_id: a, client_secret: b, access_key_id: c, access_key_secret: d}\n"
        "    projects:\n      billing:\n        auth_token: token-of-billing\n        agent: {type: prompt}\n"
        "        handoff: {default: care, destinations: {care: {method: release}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_config(file, {})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}:3: sip.public_address: ")


def test_a_collector_without_the_packages_for_it_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = {"otlp_endpoint": "http://127.0.0.1:4318"}
    assert _problems(tmp_path, telemetry=traces) == []
    monkeypatch.setattr(preflight, "extra_is_installed", lambda: False)
    (problem,) = _problems(tmp_path, telemetry=traces)
    assert problem.startswith(
        "telemetry.otlp_endpoint: needs packages that are not installed; install sipbridge[tracing]"
    )
    assert _problems(tmp_path) == []
