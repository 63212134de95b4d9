"""Traces of calls and chats at a collector, and their ids at agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipbridge.trace_context import TraceContext
from tests.harness.programs.simulator import Simulator
from tests.harness.web.trace_collector import ReceivedSpan, TraceCollector, trace_collector

from .agent_site import agent_site, requests
from .chat_site import CLIENT, PROJECT, chat_site
from .site import Contact, Site, site
from .websocket_site import websocket_site

CLOCK_SECONDS = 0.01  # between times that are counted from the start of a call and those of the clock


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    with trace_collector() as found:
        yield found


@pytest.fixture
def traced(tmp_path: Path, cxone: Simulator, collector: TraceCollector) -> Iterator[Site]:
    with site(tmp_path, cxone, **sending_to(collector.url)) as trunk:
        yield trunk


def sending_to(url: str) -> dict[str, Any]:
    """Return the change of a configuration that sends traces."""
    return {"telemetry": {"otlp_endpoint": url}}


def tree(spans: list[ReceivedSpan]) -> dict[str, list[str]]:
    """Return the names of the children of each span that has some; the root is that of ''."""
    names = {"": "", **{span.span_id: span.name for span in spans}}
    found: dict[str, list[str]] = {}
    for span in sorted(spans, key=lambda span: span.end_ns):
        found.setdefault(names[span.parent_id], []).append(span.name)
    return found


def assert_nested(spans: list[ReceivedSpan]) -> None:
    """Check that no span begins before its parent, or ends after it."""
    by_id = {span.span_id: span for span in spans}
    slack = round(CLOCK_SECONDS * 1e9)
    for span in spans:
        if span.parent_id:
            parent = by_id[span.parent_id]
            assert parent.start_ns - slack <= span.start_ns <= span.end_ns <= parent.end_ns + slack, (span, parent)


def test_a_call_with_a_handoff_is_one_trace_with_a_span_per_stage(traced: Site, collector: TraceCollector) -> None:
    call = traced.call("release", "greeting")
    record = call.record()
    spans = collector.trace_of("sipbridge.call_id", record["id"], "call")
    assert tree(spans) == {
        "": ["call"],
        "call": ["agent", "setup", "conversation", "handoff"],
        "handoff": ["play_out", "store", "signal", "transfer"],
    }
    assert_nested(spans)
    assert {span.trace_id for span in spans} == {f"{TraceContext.of(record['id']).trace_id:032x}"}
    *stages, root = spans
    assert (root.name, root.kind, root.failed) == ("call", "SPAN_KIND_SERVER", False)
    ids = {"client": "acme", "project": "greeting", "contact_id": call.contact.id}
    for span in spans:
        assert {name: span.attributes[f"sipbridge.{name}"] for name in ids} == ids
        assert span.resource["service.name"] == "sipbridge"
    kinds = {span.name: span.kind.removeprefix("SPAN_KIND_") for span in stages}
    assert [name for name, kind in kinds.items() if kind == "CLIENT"] == ["agent", "signal", "transfer"]
    outcome = {name: root.attributes[f"sipbridge.{name}"] for name in ("result", "reason", "ended_by")}
    assert outcome == {name: record[name] for name in outcome}
    traced.bridge.wait_for_metric(1, "sipbridge_trace_collector_up")
    traced.bridge.wait_for_metric(len(spans), "sipbridge_trace_spans_total", result="exported")


def test_stages_arrive_while_the_call_goes_on(traced: Site, collector: TraceCollector) -> None:
    call = traced.call("caller_hangs_up", "waiting", hold_seconds=4)
    call_id = call.wait_until_answered()
    spans = collector.trace_of("sipbridge.call_id", call_id, "setup", seconds=3)
    assert {span.name for span in spans} == {"agent", "setup"}
    spans = collector.trace_of("sipbridge.call_id", call_id, "call")
    assert tree(spans) == {"": ["call"], "call": ["agent", "setup", "conversation"]}


def test_a_failed_signal_is_an_error_in_the_trace(traced: Site, collector: TraceCollector) -> None:
    call = traced.call("release", "unreachable")
    spans = collector.trace_of("sipbridge.call_id", call.record()["id"], "call")
    (signal,) = (span for span in spans if span.name == "signal")
    assert signal.failed
    assert signal.attributes["error.type"] == signal.attributes["sipbridge.reason"] == "signal_undelivered"


def test_a_signal_that_was_sent_again_has_a_span_per_attempt(traced: Site, collector: TraceCollector) -> None:
    contact = Contact.new()
    traced.cxone.fail("signal", status=503, contact_id=contact.id)
    call = traced.call("release", contact=contact)
    spans = collector.trace_of("sipbridge.call_id", call.record()["id"], "call")
    assert tree(spans)["signal"] == ["attempt", "attempt"]
    assert [(span.failed, span.attributes["sipbridge.reason"]) for span in spans if span.name == "attempt"] == [
        (True, "signal_undelivered"),
        (False, "accepted"),
    ]
    assert_nested(spans)


def test_no_span_holds_a_number_or_what_was_said(traced: Site, collector: TraceCollector) -> None:
    call = traced.call("release", "transcribed")
    spans = collector.trace_of("sipbridge.call_id", call.record()["id"], "call")
    for secret in ("+15550100", "15550100", traced.numbers["acme"], "10000002"):
        assert secret not in repr(spans)


def test_the_next_start_ends_the_trace_of_a_call_that_was_killed(
    tmp_path: Path, cxone: Simulator, collector: TraceCollector
) -> None:
    changes = sending_to(collector.url)
    with site(tmp_path, cxone, **changes) as trunk:
        call_id = trunk.call("caller_hangs_up", "waiting", hold_seconds=30).wait_until_answered()
        collector.trace_of("sipbridge.call_id", call_id, "setup")
        trunk.bridge.program.kill()
    with site(tmp_path, cxone, **changes):
        spans = collector.trace_of("sipbridge.call_id", call_id, "call")
    assert len({span.trace_id for span in spans}) == 1
    assert spans[-1].attributes["sipbridge.recovered"] is True
    assert tree(spans)["call"] == ["agent", "setup", "conversation", "handoff"]


def test_agents_get_the_trace_of_their_call(tmp_path: Path, cxone: Simulator, collector: TraceCollector) -> None:
    changes = sending_to(collector.url)
    with agent_site(tmp_path, cxone, **changes) as sip:
        agent = sip.agent("agent_stays")
        record = sip.call("caller_hangs_up").wait_for_scenario().record()
        (invite,) = requests(agent.check(), "INVITE")
        assert invite.header("X-Traceparent") == TraceContext.of(record["id"]).traceparent
    with websocket_site(tmp_path, cxone, **changes) as websocket, websocket.call() as call:
        agent_call = call.agent()
        agent_call.hand_off(destination="care")
        record = call.record()
        assert agent_call.headers["traceparent"] == TraceContext.of(record["id"]).traceparent


def test_without_a_collector_agents_get_no_trace(tmp_path: Path, cxone: Simulator) -> None:
    with websocket_site(tmp_path, cxone) as websocket, websocket.call() as call:
        agent_call = call.agent()
        agent_call.hang_up()
        call.record()
        assert "traceparent" not in agent_call.headers
        assert "sipbridge_trace_spans_total{" not in websocket.trunk.bridge.metrics_page()


def test_a_chat_is_one_trace_with_a_span_per_stage(tmp_path: Path, cxone: Simulator, collector: TraceCollector) -> None:
    with chat_site(tmp_path, cxone, **sending_to(collector.url)) as chats:
        chat = chats.active()
        chat.say("Hello?", id="first")
        chat.event("message_delivered")
        chat.reported("How can I help?")
        chat.end()
        chat.ended()
        spans = collector.trace_of("sipbridge.chat_id", chat.id, "chat")
        chats.clear()
    assert_nested(spans)
    assert len({span.trace_id for span in spans}) == 1
    names = tree(spans)
    assert names[""] == ["chat"]
    assert sorted(names["chat"]) == ["conversation", "end", "queue", "relay", "relay", "start"]
    directions = {span.attributes["sipbridge.chat.direction"] for span in spans if span.name == "relay"}
    assert directions == {"to_agent", "to_bot"}
    assert {span.attributes["sipbridge.project"] for span in spans} == {PROJECT}
    assert {span.attributes["sipbridge.client"] for span in spans} == {CLIENT}
    assert "Hello?" not in repr(spans)
