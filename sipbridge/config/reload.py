"""The split of a configuration that was read again: what new calls use at once, and what waits for a restart."""

from __future__ import annotations

from typing import NamedTuple

from sipbridge.config.crosschecks import transports_missing
from sipbridge.config.models import AdminConfig, Config, TlsConfig
from sipbridge.config.problems import Problem
from sipbridge.errors import ConfigError

# Opened once: sockets, files, the size of PJSIP, the secret that links are signed with.
_OPENED_ONCE = {
    "sip": ("listen", "public_address", "outbound_proxy", "rtp_ports", "codecs", "srtp", "max_calls"),
    "http": ("listen", "public_url", "frame_ancestors", "pop_link_secret", "pop_link_seconds"),
    "store": ("url", "journal", "retention_hours"),
    "node": ("id", "internal_url", "lease_seconds"),
    "telemetry": ("otlp_endpoint",),
}
_READ_ONCE = ("max_chats",)
# Listeners are opened with or without each of these. What the files hold can change at any reload.
_TLS_FILES = ("certificate_file", "private_key_file", "ca_file")
_TLS_OPENED_ONCE = ("require_client_certificate",)


class Merged(NamedTuple):
    """The result of a merge.

    `config` is the configuration of new calls, `restart_required` the keys whose change waits for a restart, and
    `tls_files` the files of `sip.tls` to read again: those that wait are left out, and the loaded ones stay in use.
    """

    config: Config
    restart_required: list[str]
    tls_files: TlsConfig


def merge_reloadable(running: Config, read: Config) -> Merged:
    """Merge what a reload can change into the configuration that runs.

    Raises `ConfigError` if the rest does not work before a restart, as an agent on a transport that is not open.
    """
    waiting = [key for key in _READ_ONCE if getattr(running, key) != getattr(read, key)]
    sections = {key: getattr(running, key) for key in _READ_ONCE}
    for section, keys in _OPENED_ONCE.items():
        old, new = getattr(running, section), getattr(read, section)
        waiting += [f"{section}.{key}" for key in keys if getattr(old, key) != getattr(new, key)]
        sections[section] = new.model_copy(update={key: getattr(old, key) for key in keys})
    admin, of_admin = _merge_admin(running.http.admin, read.http.admin)
    sections["http"] = sections["http"].model_copy(update={"admin": admin})
    waiting += [f"http.admin.{key}" for key in of_admin]
    tls, of_tls = _merge_tls(running.sip.tls, read.sip.tls)
    sections["sip"] = sections["sip"].model_copy(update={"tls": tls})
    waiting += [f"sip.tls.{key}" for key in of_tls]
    config = read.model_copy(update=sections)
    _check_transports(config)
    tls_files = read.sip.tls.model_copy(update={key: None for key in of_tls if key in _TLS_FILES})
    return Merged(config, waiting, tls_files)


def _merge_admin(running: AdminConfig, read: AdminConfig) -> tuple[AdminConfig, list[str]]:
    """Keys can change at once, and be withdrawn at once, but without any at the start there are no paths for them."""
    waiting = []
    if running.listen != read.listen:
        waiting.append("listen")
    if read.keys and not running.keys:
        waiting.append("keys")
    return read.model_copy(update={key: getattr(running, key) for key in waiting}), waiting


def _merge_tls(running: TlsConfig, read: TlsConfig) -> tuple[TlsConfig, list[str]]:
    waiting = [key for key in _TLS_OPENED_ONCE if getattr(running, key) != getattr(read, key)]
    waiting += [key for key in _TLS_FILES if (getattr(running, key) is None) != (getattr(read, key) is None)]
    return read.model_copy(update={key: getattr(running, key) for key in waiting}), waiting


def _check_transports(config: Config) -> None:
    """Raise `ConfigError` for URIs that we call over a transport whose address in `sip.listen` waits for a restart."""
    tree = config.model_dump(mode="json", include={"sip": {"listen"}, "clients": True})
    problems = [
        Problem(
            path, f"is called over {transport.upper()}, which sip.listen has only after a restart; restart the bridge"
        )
        for path, transport in transports_missing(tree)
    ]
    if problems:
        raise ConfigError([problem.without_file() for problem in problems])
