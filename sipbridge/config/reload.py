"""What a running bridge takes of a new reading of its configuration, and what has to wait for a restart."""

from __future__ import annotations

from sipbridge.config.models import Config

# What is opened once: sockets, files, the size of PJSIP, what links are signed with.
_OPENED_ONCE = {
    "sip": ("listen", "public_address", "rtp_ports", "codecs", "srtp", "max_calls"),
    "http": ("listen", "public_url", "frame_ancestors", "pop_link_secret", "pop_link_seconds"),
    "store": ("url", "journal", "retention_hours"),
}


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
    return read.model_copy(update=sections), waiting
