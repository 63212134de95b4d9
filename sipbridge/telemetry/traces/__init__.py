"""Traces: the spans of calls and chats, made from their events, for an OpenTelemetry collector."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from sipbridge.telemetry.traces.calls import CallTraces
from sipbridge.telemetry.traces.chats import ChatTraces
from sipbridge.telemetry.traces.exporter import TraceExporter, TraceFigures

__all__ = ["CallTraces", "ChatTraces", "TraceExporter", "TraceFigures", "extra_is_installed", "make_exporter"]


def extra_is_installed() -> bool:
    """Return True if the packages of the extra `tracing` are there. Imports nothing of them."""
    try:
        version("opentelemetry-exporter-otlp-proto-http")
    except PackageNotFoundError:
        return False
    return True


def make_exporter(endpoint: str, node: str = "") -> TraceExporter:
    """Make the exporter to a collector. The import takes a moment."""
    from sipbridge.telemetry.traces.otlp import OtlpCollector  # noqa: PLC0415 (of an extra, which few need)

    return TraceExporter(OtlpCollector(endpoint, node))
