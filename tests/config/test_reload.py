from __future__ import annotations

from pathlib import Path
from typing import Any

from sipbridge.config import Config, TlsConfig, taken_over
from tests.calls.world import make_config


def _with(config: Config, section: str, **changes: Any) -> Config:  # noqa: ANN401 (any field)
    return config.model_copy(update={section: getattr(config, section).model_copy(update=changes)})


def test_clients_and_what_guards_the_door_are_taken_over() -> None:
    running = make_config()
    read = make_config(auth_token="another", sip={"trusted_sources": ["192.0.2.0/24"], "max_calls_per_second": 7})
    config, waiting = taken_over(running, read)
    assert waiting == []
    assert config.clients == read.clients
    assert config.sip.trusted_sources == read.sip.trusted_sources
    assert config.sip.max_calls_per_second == 7


def test_what_is_opened_once_stays_and_is_named() -> None:
    running = make_config()
    read = _with(_with(running, "sip", max_calls=7, codecs=("PCMA",)), "store", retention_hours=1)
    config, waiting = taken_over(running, read)
    assert waiting == ["sip.codecs", "sip.max_calls", "store.retention_hours"]
    assert (config.sip, config.store) == (running.sip, running.store)


def test_every_key_of_these_sections_is_either_taken_over_or_waits() -> None:
    """A new key is neither forgotten nor silently ignored."""
    taken = {"tls", "trusted_sources", "max_calls_per_second", "admin", "max_requests_per_second", "allowed_origins"}
    running = make_config()
    for section in ("sip", "http", "store"):
        for key in set(type(getattr(running, section)).model_fields) - taken:
            changed = _with(running, section, **{key: object()})
            assert taken_over(running, changed)[1] == [f"{section}.{key}"]


def test_certificates_are_taken_over_where_there_were_some() -> None:
    own, other = Path("own.pem"), Path("other.pem")
    none = make_config()
    running = _with(none, "sip", tls=TlsConfig.model_construct(certificate_file=own, private_key_file=own))
    moved = TlsConfig.model_construct(certificate_file=other, private_key_file=other, ca_file=other)
    config, waiting = taken_over(running, _with(none, "sip", tls=moved))
    assert waiting == ["sip.tls.ca_file"]
    assert config.sip.tls == moved.model_copy(update={"ca_file": None})
    stricter = running.sip.tls.model_copy(update={"require_client_certificate": True})
    config, waiting = taken_over(running, _with(none, "sip", tls=stricter))
    assert (config.sip.tls, waiting) == (running.sip.tls, ["sip.tls.require_client_certificate"])
