"""The collector as OpenTelemetry's SDK reaches it: OTLP over HTTP. The only module that imports the extra `tracing`."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sipbridge import __version__
from sipbridge.telemetry.traces.span import Span

PATH = "/v1/traces"  # OTLP 1.x, "OTLP/HTTP Request"

_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_SCOPE = InstrumentationScope("sipbridge", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OtlpCollector:
    """Implements `exporter.Collector`. `node` is the id of this node, or empty.

    The variables `OTEL_…` of the environment apply, as in any program with the SDK: headers and certificates for the
    collector, a time limit, compression, attributes of the resource. The SDK logs a warning if one is not valid.
    """

    def __init__(self, endpoint: str, node: str) -> None:
        own = {"service.name": "sipbridge", "service.version": __version__}
        if node:
            own["service.instance.id"] = node
        self._resource = Resource(own).merge(OTELResourceDetector().detect())
        self._exporter = trace_exporter.OTLPSpanExporter(f"{endpoint}{PATH}")
        self._fault = _Fault()

    def send(self, spans: Sequence[Span]) -> str | None:
        """Send spans; return why the collector has not accepted them. Blocks for ten seconds at most by default."""
        readable = [self._readable(span) for span in spans]
        logger = logging.getLogger(trace_exporter.__name__)
        logger.addFilter(self._fault)
        try:
            result = self._exporter.export(readable)
        finally:
            logger.removeFilter(self._fault)
        return None if result is SpanExportResult.SUCCESS else self._fault.text

    def close(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        """Return the SDK's form. It is made directly, because a `Tracer` chooses the ids itself."""
        context = _context(span.trace_id, span.span_id or random.getrandbits(64) or 1)
        attributes = {**span.attributes, "error.type": span.error} if span.error else span.attributes
        start, end = span.times
        return ReadableSpan(
            span.name,
            context,
            parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
            resource=self._resource,
            attributes=attributes,
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=start,
            end_time=max(start, end),  # the machine's clock may have been set back meanwhile
            instrumentation_scope=_SCOPE,
        )


class _Fault(logging.Filter):
    """The exporter's last log message, the only place that has the reason of a failure. Its lines are not logged.

    They would repeat with every attempt; ours are logged once per outage.
    """

    text = "no reason given"

    def filter(self, record: logging.LogRecord) -> bool:
        self.text = record.getMessage()
        return False


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)
