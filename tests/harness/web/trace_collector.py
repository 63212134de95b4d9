"""A collector of traces: it receives OTLP over HTTP and decodes it with the official protobuf classes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tests.harness.waiting import wait_for

Value = str | int | bool | float


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as the collector got it, with the attributes of its resource."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, Value]
    resource: dict[str, Value]

    @classmethod
    def of(cls, span: OtlpSpan, resource: dict[str, Value]) -> Self:
        """Read a span of the protocol."""
        return cls(
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            OtlpSpan.SpanKind.Name(span.kind),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == span.status.STATUS_CODE_ERROR,
            _attributes(span.attributes),
            resource,
        )

    @property
    def seconds(self) -> float:
        """The duration."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass
class TraceCollector:
    """The collector. It responds with `status`, and keeps the spans of requests that it accepts."""

    url: str = ""
    status: int = 200
    spans: list[ReceivedSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def of(self, key: str, value: str) -> list[ReceivedSpan]:
        """Return the spans with this attribute, in the order of their arrival."""
        return [span for span in list(self.spans) if span.attributes.get(key) == value]

    def trace_of(self, key: str, value: str, root: str, seconds: float = 10) -> list[ReceivedSpan]:
        """Return the spans with this attribute once their root has arrived."""
        wait_for(lambda: [span for span in self.of(key, value) if span.name == root], f"the span {root}", seconds)
        return self.of(key, value)

    def receive(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Take a request; return the status of the response."""
        if path != "/v1/traces" or headers["content-type"] != "application/x-protobuf":
            return 404
        if self.status == 200:
            self.headers.append(headers)
            self.spans += _spans(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        return self.status


@contextmanager
def trace_collector() -> Iterator[TraceCollector]:
    """Run a collector on a free port."""
    found = TraceCollector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(found.receive(self.path, headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def _spans(body: bytes) -> Iterator[ReceivedSpan]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan.of(span, _attributes(resource.resource.attributes))


def _attributes(pairs: Iterator[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    found: Value = getattr(value, value.WhichOneof("value") or "string_value")
    return found
