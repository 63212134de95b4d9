from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import AdminConfig, Config, TlsConfig, merge_reloadable
from sipbridge.errors import ConfigError
from tests.calls.world import make_config

from .files import load, with_chat


def _with(config: Config, section: str, **changes: Any) -> Config:  # noqa: ANN401 (any field)
    return config.model_copy(update={section: getattr(config, section).model_copy(update=changes)})


def test_clients_and_admission_limits_apply_at_once() -> None:
    running = make_config()
    read = make_config(auth_token="another", sip={"trusted_sources": ["192.0.2.0/24"], "max_calls_per_second": 7})
    config, waiting, _ = merge_reloadable(running, read)
    assert waiting == []
    assert config.clients == read.clients
    assert config.sip.trusted_sources == read.sip.trusted_sources
    assert config.sip.max_calls_per_second == 7


def test_settings_that_need_a_restart_are_named_and_not_applied() -> None:
    running = make_config()
    read = _with(_with(running, "sip", max_calls=7, codecs=("PCMA",)), "store", retention_hours=1)
    config, waiting, _ = merge_reloadable(running, read)
    assert waiting == ["sip.codecs", "sip.max_calls", "store.retention_hours"]
    assert (config.sip, config.store) == (running.sip, running.store)


def test_every_key_of_these_sections_either_applies_at_once_or_waits() -> None:
    """A new key is neither forgotten nor silently ignored."""
    taken = {"tls", "trusted_sources", "max_calls_per_second", "admin", "max_requests_per_second", "allowed_origins"}
    taken |= {"pop_page"}
    running = make_config()
    for section in ("sip", "http", "store", "telemetry"):
        for key in set(type(getattr(running, section)).model_fields) - taken:
            changed = _with(running, section, **{key: object()})
            assert merge_reloadable(running, changed)[1] == [f"{section}.{key}"]


def test_chats_apply_at_once_but_their_number_waits(tmp_path: Path) -> None:
    running = load(tmp_path, with_chat())
    read = load(tmp_path, {**with_chat(transcript="none", show_agent=True), "max_chats": 7})
    config, waiting, _ = merge_reloadable(running, read)
    assert waiting == ["max_chats"]
    assert config.max_chats == running.max_chats
    assert config.clients == read.clients


def test_certificates_apply_at_once_if_there_were_some() -> None:
    own, other = Path("own.pem"), Path("other.pem")
    none = make_config()
    running = _with(none, "sip", tls=TlsConfig.model_construct(certificate_file=own, private_key_file=own))
    moved = TlsConfig.model_construct(certificate_file=other, private_key_file=other, ca_file=other)
    config, waiting, _ = merge_reloadable(running, _with(none, "sip", tls=moved))
    assert waiting == ["sip.tls.ca_file"]
    assert config.sip.tls == moved.model_copy(update={"ca_file": None})
    stricter = running.sip.tls.model_copy(update={"require_client_certificate": True})
    config, waiting, _ = merge_reloadable(running, _with(none, "sip", tls=stricter))
    assert (config.sip.tls, waiting) == (running.sip.tls, ["sip.tls.require_client_certificate"])


def test_tls_files_that_wait_for_a_restart_are_not_read_again() -> None:
    """The file may name none, and the loaded ones may have been deleted."""
    own = Path("own.pem")
    none = make_config()
    running = _with(none, "sip", tls=TlsConfig.model_construct(certificate_file=own, private_key_file=own, ca_file=own))
    assert merge_reloadable(running, none).tls_files == TlsConfig()
    without_ca = running.sip.tls.model_copy(update={"ca_file": None})
    assert merge_reloadable(running, _with(none, "sip", tls=without_ca)).tls_files == without_ca
    assert merge_reloadable(running, running).tls_files == running.sip.tls
    without = _with(none, "sip", tls=without_ca)
    assert merge_reloadable(without, running).tls_files == without_ca, "an added file is read at the restart"


def _listening(*listen: str, **project: Any) -> Config:  # noqa: ANN401 (keys of a project)
    return make_config(sip={"listen": list(listen)}, **project)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("kind", ["agent", "destination"])
def test_a_uri_called_over_a_transport_that_waits_for_a_restart_is_refused(transport: str, kind: str) -> None:
    uri = f"sip:bot@127.0.0.1;transport={transport}"
    project: dict[str, Any] = {"agent": {"type": "sip", "uri": uri}}
    place = "agent.uri[0]"
    if kind == "destination":
        project = {"handoff": {"destinations": {"care": {"method": "invite", "uri": uri}}}}
        place = "handoff.destinations.care.uri"
    running = _listening("udp://127.0.0.1:5060")
    read = _listening("udp://127.0.0.1:5060", f"{transport}://127.0.0.1:5061", **project)
    with pytest.raises(ConfigError) as caught:
        merge_reloadable(running, read)
    why = f"is called over {transport.upper()}, which sip.listen has only after a restart; restart the bridge"
    assert caught.value.problems == [f"clients.acme.projects.billing.{place}: {why}"]


def test_a_uri_called_over_a_transport_that_is_open_until_a_restart_is_not_refused() -> None:
    over_tcp = {"agent": {"type": "sip", "uri": "sip:bot@127.0.0.1;transport=tcp"}}
    running = _listening("udp://127.0.0.1:5060", "tcp://127.0.0.1:5060")
    read = _listening("tcp://127.0.0.1:5060", **over_tcp)
    assert merge_reloadable(running, read).restart_required == ["sip.listen"]


@pytest.mark.parametrize(
    ("running", "read", "keys", "waiting"),
    [
        ((("old",), None), (("new",), None), "new", []),
        ((("old",), None), ((), None), None, []),
        (((), None), (("new",), None), None, ["http.admin.keys"]),
        ((("old",), None), (("new",), "127.0.0.1:1"), "new", ["http.admin.listen"]),
        (((), None), (("new",), "127.0.0.1:1"), None, ["http.admin.listen", "http.admin.keys"]),
    ],
)
def test_admin_keys_change_at_once_if_there_were_any_and_the_listener_waits(
    running: tuple[tuple[str, ...], str | None],
    read: tuple[tuple[str, ...], str | None],
    keys: str | None,
    waiting: list[str],
) -> None:
    before, after = (
        _with(make_config(), "http", admin=AdminConfig.model_validate({"keys": keys, "listen": listen}))
        for keys, listen in (running, read)
    )
    config, restart_required, _ = merge_reloadable(before, after)
    assert restart_required == waiting
    assert config.http.admin.listen == before.http.admin.listen
    assert [key.matches(str(keys)) for key in config.http.admin.keys] == ([True] if keys else [])
