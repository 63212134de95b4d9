"""Headers that guard whoever reads an answer. Every answer has them, errors included."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

NO_FRAMES = ("'none'",)


def add_security_headers(headers: MutableMapping[str, str], frame_ancestors: Iterable[str] = NO_FRAMES) -> None:
    """Let browsers load nothing, guess nothing, keep nothing, pass nothing on; and say no version of ours.

    `frame_ancestors` are those who may show the answer in a frame (Content Security Policy Level 3, 6.4.2).
    """
    headers["Content-Security-Policy"] = f"default-src 'none'; frame-ancestors {' '.join(frame_ancestors)}"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cache-Control"] = "no-store"
    headers["Server"] = "sipbridge"
