"""The pages of the reference that are made from the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.docs.reference import commands, configuration, http, log_events, metrics

PAGES: Mapping[str, Callable[[], str]] = {
    "reference/configuration.md": configuration.page,
    "reference/metrics.md": metrics.page,
    "reference/http.md": http.page,
    "reference/commands.md": commands.page,
    "reference/log-events.md": log_events.page,
}

# What begins the pages that explain the same things, in the site.
SEE_ALSO: Mapping[str, str] = {
    "configuration.md": "See also [all keys](reference/configuration.md) with types and limits, from the code.",
    "metrics.md": (
        "See also [all metrics](reference/metrics.md) with types and buckets, and [all log events]"
        "(reference/log-events.md), from the code."
    ),
    "http-api.md": "See also [all operations](reference/http.md) with their fields, from the OpenAPI document.",
    "operations.md": "See also [all commands](reference/commands.md) and [all log events](reference/log-events.md).",
}
