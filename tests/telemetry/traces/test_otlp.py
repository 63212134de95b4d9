"""The connection to a collector, over HTTP on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from sipbridge import __version__
from sipbridge.telemetry.traces.otlp import OtlpCollector
from sipbridge.telemetry.traces.span import Span
from tests.harness.ports import reserved_port
from tests.harness.web.trace_collector import ReceivedSpan, TraceCollector, trace_collector

ROOT = Span(0xABC, 0x1, None, "call", (1_000, 5_000), {"a": "b", "n": 603, "yes": True}, "server")
STAGE = Span(0xABC, None, 0x1, "signal", (2_000, 4_000), {}, "client", error="undelivered")


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    with trace_collector() as found:
        yield found


def sent(collector: TraceCollector, *spans: Span, node: str = "") -> list[ReceivedSpan]:
    with closing(OtlpCollector(collector.url, node)) as connection:
        assert connection.send(spans) is None
    return collector.spans


def test_a_span_arrives_as_it_was_made(collector: TraceCollector) -> None:
    (span,) = sent(collector, ROOT)
    assert (span.trace_id, span.span_id, span.parent_id) == (f"{0xABC:032x}", f"{1:016x}", "")
    assert (span.name, span.kind, span.failed) == ("call", "SPAN_KIND_SERVER", False)
    assert (span.start_ns, span.end_ns) == ROOT.times
    assert span.attributes == ROOT.attributes


def test_a_stage_has_an_id_of_its_own_and_its_error(collector: TraceCollector) -> None:
    one, other = sent(collector, STAGE, STAGE)
    assert one.span_id != other.span_id
    assert int(one.span_id, 16) != 0
    assert (one.parent_id, one.kind, one.failed) == (f"{1:016x}", "SPAN_KIND_CLIENT", True)
    assert one.attributes == {"error.type": "undelivered"}


def test_a_clock_that_was_set_back_makes_no_negative_duration(collector: TraceCollector) -> None:
    (span,) = sent(collector, Span(1, 2, None, "call", (5_000, 1_000), {}, "server"))
    assert (span.start_ns, span.end_ns) == (5_000, 5_000)


def test_the_resource_names_the_service_and_the_node(
    collector: TraceCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    (span,) = sent(collector, ROOT, node="node-1")
    assert {
        "service.name": "sipbridge",
        "service.version": __version__,
        "service.instance.id": "node-1",
        "deployment.environment.name": "test",
    }.items() <= span.resource.items()


def test_the_environment_adds_headers_and_compression_and_names_the_service(
    collector: TraceCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "bridge-of-acme")
    (span,) = sent(collector, ROOT)
    assert span.resource["service.name"] == "bridge-of-acme"
    assert collector.headers[0]["authorization"] == "Bearer key"
    assert collector.headers[0]["content-encoding"] == "gzip"


def test_a_refusal_is_reported_with_its_status_and_not_logged(
    collector: TraceCollector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 401
    with closing(OtlpCollector(collector.url, "")) as connection:
        assert "401" in (connection.send([ROOT]) or "")
    assert caplog.records == []


def test_a_request_that_the_end_interrupts_logs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as pool:
        connection = OtlpCollector(f"http://127.0.0.1:{silent.getsockname()[1]}", "")
        sending = pool.submit(connection.send, [ROOT])
        silent.accept()[0].close()  # the SDK tries again
        connection.close()
        assert sending.result(30)
    assert caplog.records == []


def test_a_collector_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with closing(OtlpCollector(f"http://127.0.0.1:{reserved_port()}", "")) as connection:
        assert connection.send([])
