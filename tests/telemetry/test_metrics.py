from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sipbridge import __version__
from sipbridge.calls.events import (
    AgentFault,
    CallEnded,
    CallRecovered,
    CallStarted,
    ConfigRead,
    ContactShared,
    DrainChanged,
    HandoffFinished,
    HandoffStage,
    InviteAnswered,
    SignalWithheld,
    StoreFailed,
    TakeBackDone,
    TokenRequested,
)
from sipbridge.handoffs.outcome import Outcome, Result
from sipbridge.telemetry import Metrics, NodeFigures
from sipbridge.telemetry.labels import MAX_WORDS
from tests.store.records import make_record

from .events import ENDED, NO_ANSWER, OK, whole_call

# The metrics of contract section 8 and later ones: name to labels.
CONTRACT = {
    "sipbridge_invites_total": {"code"},
    "sipbridge_calls_active": set(),
    "sipbridge_calls_total": {"client", "project", "result", "reason"},
    "sipbridge_call_duration_seconds_count": set(),
    "sipbridge_setup_seconds_count": set(),
    "sipbridge_handoffs_total": {"client", "project", "method", "result", "reason"},
    "sipbridge_handoff_seconds_count": {"stage"},
    "sipbridge_signals_total": {"client", "result"},
    "sipbridge_signals_withheld_total": {"client"},
    "sipbridge_take_backs_total": {"client", "project", "result"},
    "sipbridge_shared_contacts_total": {"client"},
    "sipbridge_signal_seconds_count": set(),
    "sipbridge_token_requests_total": {"client", "result"},
    "sipbridge_transfers_total": {"method", "result"},
    "sipbridge_agent_connects_total": {"client", "project", "type", "result"},
    "sipbridge_sip_thread_lag_seconds": set(),
    "sipbridge_event_loop_tasks": set(),
    "sipbridge_pjsip_pools_in_use": set(),
    "sipbridge_store_pending_records": set(),
    "sipbridge_draining": set(),
    "sipbridge_ready": set(),
    "sipbridge_build_info": {"version", "pjsip", "python"},
    "sipbridge_store_errors_total": set(),
    "sipbridge_http_requests_total": {"operation", "code"},
    "sipbridge_agent_faults_total": {"client", "project", "type", "fault"},
    "sipbridge_utterances_total": {"result"},
    "sipbridge_media_underruns_total": set(),
    "sipbridge_media_overruns_total": set(),
    "sipbridge_media_late_frames_total": set(),
    "sipbridge_media_playout_delay_seconds": set(),
    "sipbridge_media_stray_packets_total": set(),
    "sipbridge_dialog_strangers_total": set(),
    "sipbridge_calls_recovered_total": {"client", "result", "reason"},
    "sipbridge_config_reloads_total": {"result"},
}

# What the text format adds to the name of a family.
SUFFIXES = {"counter": "_total"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(pjsip_version="2.17")


def samples(metrics: Metrics, name: str) -> list[tuple[dict[str, str], float]]:
    page = metrics.page().decode()
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    ]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    [found] = [value for seen, value in samples(metrics, name) if labels.items() <= seen.items()]
    return found


def test_http_requests_are_counted_by_operation_and_status(metrics: Metrics) -> None:
    for status in (200, 200, 429):
        metrics.count_request("list_calls", status)
    assert value(metrics, "sipbridge_http_requests_total", operation="list_calls", code="200") == 2
    assert value(metrics, "sipbridge_http_requests_total", operation="list_calls", code="429") == 1


@pytest.mark.parametrize("name", CONTRACT)
def test_each_metric_of_the_contract_has_its_labels(metrics: Metrics, name: str) -> None:
    for event in [
        *whole_call(),
        TokenRequested("acme", Result.SUCCESS, 0.1),
        CallRecovered(ENDED, OK, ENDED),
        ContactShared(ENDED),
        SignalWithheld(ENDED, "end"),
        TakeBackDone(ENDED, OK, 30.0),
        ConfigRead(OK),
    ]:
        metrics(event)
    metrics.count_request("list_calls", 200)
    found = samples(metrics, name)
    assert found
    assert {frozenset(labels) for labels, _ in found} == {frozenset(CONTRACT[name])}


def test_a_call_with_a_handoff_is_counted_once_in_each_metric(metrics: Metrics) -> None:
    for event in whole_call():
        metrics(event)
    who = {"client": "acme", "project": "billing", "result": "success", "reason": "handed_off"}
    assert value(metrics, "sipbridge_invites_total", code="200") == 1
    assert value(metrics, "sipbridge_calls_total", **who) == 1
    assert value(metrics, "sipbridge_handoffs_total", **who, method="release") == 1
    assert value(metrics, "sipbridge_signals_total", client="acme", result="success") == 1
    assert value(metrics, "sipbridge_transfers_total", method="release", result="success") == 1
    assert value(metrics, "sipbridge_agent_connects_total", type="websocket", result="success") == 1
    assert value(metrics, "sipbridge_setup_seconds_sum") == 0.25
    assert value(metrics, "sipbridge_call_duration_seconds_sum") == 42
    assert value(metrics, "sipbridge_signal_seconds_sum") == 0.12
    assert value(metrics, "sipbridge_calls_active") == 0


def test_each_stage_of_a_handoff_and_the_total_are_timed(metrics: Metrics) -> None:
    for event in whole_call():
        metrics(event)
    sums = {labels["stage"]: value for labels, value in samples(metrics, "sipbridge_handoff_seconds_sum")}
    assert sums == {
        "play_out": 0.2,
        "utterance": 2.0,
        "store": 0.006,
        "signal": 0.12,
        "transfer": 1.0,
        "total": 1.5,
    }


def test_calls_are_active_from_start_to_end(metrics: Metrics) -> None:
    metrics(CallStarted(make_record("a")))
    metrics(CallStarted(make_record("b")))
    metrics(CallEnded(make_record("a"), OK, 1.0))
    assert value(metrics, "sipbridge_calls_active") == 1


def test_a_rejected_invite_is_counted_by_its_code(metrics: Metrics) -> None:
    for code in (403, 403, 503):
        metrics(InviteAnswered(code, "whatever", "id", "127.0.0.1"))
    assert value(metrics, "sipbridge_invites_total", code="403") == 2
    assert value(metrics, "sipbridge_invites_total", code="503") == 1


@pytest.mark.parametrize("code", [0, 100, 700, 123456])
def test_a_code_that_is_not_a_final_response_is_other(metrics: Metrics, code: int) -> None:
    metrics(InviteAnswered(code, "whatever", "id", "127.0.0.1"))
    assert value(metrics, "sipbridge_invites_total", code="other") == 1


def test_the_reason_label_of_a_handoff_is_ours_and_not_the_agents(metrics: Metrics) -> None:
    metrics(HandoffFinished(ENDED, "refer", NO_ANSWER, 1.0))
    assert value(metrics, "sipbridge_handoffs_total", method="refer", result="upstream_error", reason="no_answer") == 1
    assert b"eels" not in metrics.page()


@pytest.mark.parametrize("reason", ["", "Full of eels", "x" * 41, "+15550001", "a\n"])
def test_a_reason_that_is_not_a_word_is_other(metrics: Metrics, reason: str) -> None:
    metrics(CallEnded(ENDED, Outcome(Result.SUCCESS, reason), 1.0))
    assert value(metrics, "sipbridge_calls_total", reason="other") == 1


def test_the_number_of_reasons_is_limited(metrics: Metrics) -> None:
    for n in range(MAX_WORDS + 50):
        metrics(CallEnded(ENDED, Outcome(Result.SUCCESS, f"reason_{n}"), 1.0))
    assert len(samples(metrics, "sipbridge_calls_total")) == MAX_WORDS + 1
    assert value(metrics, "sipbridge_calls_total", reason="other") == 50


def test_faults_of_agents_are_counted_by_kind(metrics: Metrics) -> None:
    for fault in ("bad_json", "bad_json", "unknown_event", "No Word"):
        metrics(AgentFault(ENDED, "websocket", fault, "full of eels"))
    metrics(AgentFault(ENDED, "sip", "bad_json", ""))
    assert value(metrics, "sipbridge_agent_faults_total", type="websocket", fault="bad_json") == 2
    assert value(metrics, "sipbridge_agent_faults_total", type="websocket", fault="unknown_event") == 1
    assert value(metrics, "sipbridge_agent_faults_total", type="websocket", fault="other") == 1
    assert value(metrics, "sipbridge_agent_faults_total", type="sip", fault="bad_json") == 1
    assert b"eels" not in metrics.page()


def test_only_the_utterance_stage_counts_as_an_utterance(metrics: Metrics) -> None:
    metrics(HandoffStage(ENDED, "utterance", 2.0, Outcome(Result.SUCCESS, "done")))
    metrics(HandoffStage(ENDED, "utterance", 3.0, Outcome(Result.SERVER_ERROR, "speech_failed")))
    metrics(HandoffStage(ENDED, "play_out", 1.0, OK))
    assert value(metrics, "sipbridge_utterances_total", result="success") == 1
    assert value(metrics, "sipbridge_utterances_total", result="server_error") == 1


def test_media_counts_are_the_totals_set_last(metrics: Metrics) -> None:
    names = [f"sipbridge_media_{name}_total" for name in ("underruns", "overruns", "late_frames", "stray_packets")]
    assert [value(metrics, name) for name in names] == [0, 0, 0, 0]
    metrics.set_media_counts(3, 2, 1, 0)
    metrics.set_media_counts(underruns=5, overruns=2, late=7, stray=9)
    assert [value(metrics, name) for name in names] == [5, 2, 7, 9]
    assert b"# TYPE sipbridge_media_underruns_total counter" in metrics.page()


def test_series_of_removed_clients_and_projects_are_dropped(metrics: Metrics) -> None:
    for client, project in (("acme", "billing"), ("acme", "removed"), ("removed", "billing")):
        record = make_record(client=client, project=project)
        metrics(CallEnded(record, OK, 1.0))
        metrics(TokenRequested(client, Result.SUCCESS, 0.1))
    metrics.keep_projects({("acme", "billing"), ("acme", "new")})
    shown = metrics.page().decode()
    assert 'client="removed"' not in shown
    assert 'project="removed"' not in shown
    assert 'sipbridge_token_requests_total{client="acme",result="success"} 2.0' in shown
    assert 'sipbridge_calls_total{client="acme",project="billing",' in shown
    metrics(TokenRequested("removed", Result.SUCCESS, 0.1))
    assert 'sipbridge_token_requests_total{client="removed",result="success"} 1.0' in metrics.page().decode()


def test_draining_and_lag_and_store_errors_are_shown(metrics: Metrics) -> None:
    metrics(DrainChanged(draining=True))
    metrics.show_sip_thread_lag(lambda: 0.125)
    metrics.show_ready(lambda: True)
    metrics(StoreFailed(ENDED, "database is locked"))
    assert value(metrics, "sipbridge_draining") == 1
    assert value(metrics, "sipbridge_sip_thread_lag_seconds") == 0.125
    assert value(metrics, "sipbridge_ready") == 1
    assert value(metrics, "sipbridge_store_errors_total") == 1
    metrics.set_store_pending_records(7)
    assert value(metrics, "sipbridge_store_pending_records") == 7
    metrics(DrainChanged(draining=False))
    assert value(metrics, "sipbridge_draining") == 0


def test_the_build_info_has_the_versions(metrics: Metrics) -> None:
    build = {"version": __version__, "pjsip": "2.17", "python": platform.python_version()}
    assert samples(metrics, "sipbridge_build_info") == [(build, 1.0)]


def test_two_bridges_in_a_process_count_separately(metrics: Metrics) -> None:
    metrics(StoreFailed(ENDED, "x"))
    assert value(Metrics(pjsip_version="2.17"), "sipbridge_store_errors_total") == 0


def test_the_documentation_names_each_metric(metrics: Metrics) -> None:
    metrics.show_node(lambda: NodeFigures(1.5, 2, {"mine": 3}, 0, 0, 0, 0, 0, 0, 0))
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    documented = re.findall(r"^\| `(sipbridge_\w+)", page, re.MULTILINE)
    served = {
        f"{family.name}{SUFFIXES.get(family.type, '')}"
        for family in text_string_to_metric_families(metrics.page().decode())
        if family.name.startswith("sipbridge_")
    }
    assert sorted(documented) == sorted(served)
