"""The choice between a page and JSON (RFC 9110, 12.5.1)."""

from __future__ import annotations

_JSON, _HTML = "application/json", "text/html"


def prefers_json(accept: str) -> bool:
    """True if a request names JSON, and HTML not at all or with less weight. So a browser gets the page."""
    weights = dict(_weighted(item) for item in accept.split(","))
    return weights.get(_JSON, 0.0) > weights.get(_HTML, 0.0)


def _weighted(item: str) -> tuple[str, float]:
    media_type, *parameters = (part.strip().lower() for part in item.split(";"))
    weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return media_type, float(weight)
    except ValueError:
        return media_type, 0.0
