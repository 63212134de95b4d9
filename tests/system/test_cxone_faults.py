"""For each fault of a client's CXone: no caller in silence, no second Signal, no delay for others, no leaked secret."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from sipbridge.simulators.cxone import DEMO_TENANT
from tests.harness.programs.simulator import Simulator
from tests.harness.usage import open_files
from tests.harness.waiting import wait_for

from .storm import ACCEPTED, HEALTHY_CALLS, REFUSED, UNDELIVERED, UNKNOWN, WIRE, Storm, storm

SIGNAL_SECONDS = 3.0
GRACE_SECONDS = 0.5
SLACK_SECONDS = 2.0  # on a busy machine
GROWTH_MB = 60.0

SIGNAL_RESULTS = {
    ACCEPTED: "success",
    REFUSED: "client_error",
    UNDELIVERED: "upstream_error",
    UNKNOWN: "indeterminate",
}
HANDOFFS = {
    ACCEPTED: {"result": "indeterminate", "reason": "unconfirmed"},
    REFUSED: {"result": "client_error", "reason": "signal_refused"},
    UNDELIVERED: {"result": "upstream_error", "reason": "signal_undelivered"},
    UNKNOWN: {"result": "indeterminate", "reason": "signal_unknown"},
}


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[Storm]:
    with storm(tmp_path_factory.mktemp("storm"), cxone) as come_to:
        yield come_to


def test_every_caller_gets_bye_within_signal_seconds(after: Storm) -> None:
    late = {
        name: told.seconds
        for name, told in after.told.items()
        if told.seconds > SIGNAL_SECONDS + GRACE_SECONDS + SLACK_SECONDS
    }
    assert late == {}


def test_the_record_states_the_outcome_of_the_signal(after: Storm) -> None:
    expected = {
        name: (fault.signal, "handoff_completed" if fault.signal == ACCEPTED else "handoff_failed")
        for name, fault in after.faults.items()
    }
    assert {name: (told.signal, told.state) for name, told in after.told.items()} == expected


def test_the_metrics_count_the_same_outcomes(after: Storm) -> None:
    signals, tokens, handoffs = (f"sipbridge_{what}_total" for what in ("signals", "token_requests", "handoffs"))
    wait_for(lambda: all(after.bridge.metrics().value(tokens, client=name) for name in after.faults), "tokens", 15)
    metrics = after.bridge.metrics()

    def all_are(counter: str, client: str, **labels: str) -> bool:
        return metrics.value(counter, client=client) == metrics.value(counter, client=client, **labels)

    for name, fault in after.faults.items():
        assert metrics.value(signals, client=name) == metrics.value(handoffs, client=name) == 1, name
        assert all_are(signals, name, result=SIGNAL_RESULTS[fault.signal]), name
        assert all_are(handoffs, name, **HANDOFFS[fault.signal]), name
        assert all_are(tokens, name, result=fault.tokens or "success"), name


def test_a_signal_is_retried_only_after_its_token_was_rejected(after: Storm) -> None:
    expected = {name: fault.signals_sent for name, fault in after.faults.items()}
    assert {name: fault.rogue.asked["signal"] for name, fault in after.faults.items()} == expected


def test_no_request_goes_to_a_foreign_host_that_cxone_names(after: Storm) -> None:
    assert after.stranger.asked == {}


def test_callers_of_another_client_are_not_affected(after: Storm) -> None:
    assert [told.signal for told in after.healthy] == [ACCEPTED] * HEALTHY_CALLS
    assert max(told.seconds for told in after.healthy) < GRACE_SECONDS + SLACK_SECONDS


# The store's second reader opens the database and its log with the first two simultaneous reads.
SECOND_READER_FILES = 2


def test_memory_and_sockets_are_released(after: Storm) -> None:
    assert after.grown_mb < GROWTH_MB
    pid = after.bridge.program.pid
    most = after.files_before + SECOND_READER_FILES
    wait_for(lambda: open_files(pid) <= most, f"{most} open files", 20)


def test_no_output_of_the_bridge_contains_a_secret(after: Storm) -> None:
    demo = DEMO_TENANT
    basic = base64.b64encode(f"{demo.client_id}:{demo.client_secret}".encode()).decode()
    sent = {credential for fault in after.faults.values() for credential in fault.rogue.credentials}
    assert len(sent - {basic}) > len(WIRE)  # the faulty CXones received tokens too
    secrets = {demo.client_secret, demo.access_key_id, demo.access_key_secret, basic, "Bearer ", "Basic "}
    secrets |= {credential for credential in sent if len(credential) > 1}
    texts = {file.name: file.read_bytes().decode("latin-1") for file in after.folder.glob("calls.db*")}
    texts["log"] = after.bridge.program.log.read_text()
    texts["output"] = "\n".join(after.bridge.program.output)
    texts["metrics"] = after.bridge.metrics_page()
    texts["answers"] = "\n".join(after.answers)
    assert "cxone_signal" in texts["log"]
    told = {(name, secret) for name, text in texts.items() for secret in secrets if secret in text}
    assert told == set()
