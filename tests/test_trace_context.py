from __future__ import annotations

import re

from sipbridge.trace_context import TraceContext


def test_the_trace_of_an_id_is_the_same_on_every_node_and_in_every_version() -> None:
    # Nodes of two versions run side by side during an upgrade, so these values never change.
    trace = TraceContext.of("df9fffd81ebcaffca8f35624f61cda7a")
    assert trace.traceparent == "00-38d4da27ca6791a1c411fc1eb52de392-31777d62a42cbcd6-01"
    assert f"{trace.derived_id('handoff'):016x}" == "e294cb93cf1b401f"


def test_a_traceparent_has_the_form_of_the_w3c_and_says_that_the_trace_is_sampled() -> None:
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", TraceContext.of("any id, ünïcode too").traceparent)


def test_other_ids_have_other_traces_and_other_names_other_spans() -> None:
    one, other = TraceContext.of("1"), TraceContext.of("2")
    ids = {one.trace_id, other.trace_id, one.span_id, other.span_id}
    assert len(ids | {one.derived_id("a"), one.derived_id("b"), other.derived_id("a")}) == 7
