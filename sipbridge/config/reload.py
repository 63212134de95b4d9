"""What a running bridge takes of a new reading of its configuration, and what has to wait for a restart."""

from __future__ import annotations

from sipbridge.config.models import Config, TlsConfig

# What is opened once: sockets, files, the size of PJSIP, what links are signed with.
_OPENED_ONCE = {
    "sip": ("listen", "public_address", "rtp_ports", "codecs", "srtp", "max_calls"),
    "http": ("listen", "public_url", "frame_ancestors", "pop_link_secret", "pop_link_seconds"),
    "store": ("url", "journal", "retention_hours"),
}
# Of sip.tls: listeners are opened with these or without. What the files hold is read anew.
_TLS_FILES = ("certificate_file", "private_key_file", "ca_file")
_TLS_OPENED_ONCE = ("require_client_certificate",)


def taken_over(running: Config, read: Config) -> tuple[Config, list[str]]:
    """Return what goes for new calls from now on, and the keys whose change takes effect with a restart only."""
    sections = {}
    waiting = []
    for section, keys in _OPENED_ONCE.items():
        old, new = getattr(running, section), getattr(read, section)
        waiting += [f"{section}.{key}" for key in keys if getattr(old, key) != getattr(new, key)]
        sections[section] = new.model_copy(update={key: getattr(old, key) for key in keys})
    old_admin, new_admin = running.http.admin, read.http.admin
    if old_admin.listen != new_admin.listen or (new_admin.keys and not old_admin.keys):
        waiting.append("http.admin")
        sections["http"] = sections["http"].model_copy(update={"admin": old_admin})
    tls, of_tls = _tls_taken_over(running.sip.tls, read.sip.tls)
    sections["sip"] = sections["sip"].model_copy(update={"tls": tls})
    waiting += [f"sip.tls.{key}" for key in of_tls]
    return read.model_copy(update=sections), waiting


def _tls_taken_over(running: TlsConfig, read: TlsConfig) -> tuple[TlsConfig, list[str]]:
    waiting = [key for key in _TLS_OPENED_ONCE if getattr(running, key) != getattr(read, key)]
    waiting += [key for key in _TLS_FILES if (getattr(running, key) is None) != (getattr(read, key) is None)]
    return read.model_copy(update={key: getattr(running, key) for key in waiting}), waiting
