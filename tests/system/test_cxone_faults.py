"""For each fault of a client's CXone: no caller in silence, no second Signal, no delay for others, no leaked secret."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from sipbridge.simulators.cxone import DEMO_TENANT
from tests.harness.programs.simulator import Simulator
from tests.harness.usage import open_files
from tests.harness.waiting import wait_for

from .faulty_clients import (
    ACCEPTED,
    HEALTHY_CALLS,
    REFUSED,
    UNDELIVERED,
    UNKNOWN,
    WIRE,
    FaultyClients,
    faulty_clients_site,
)

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
def clients(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[FaultyClients]:
    with faulty_clients_site(tmp_path_factory.mktemp("faulty"), cxone) as running:
        yield running


def test_every_caller_gets_bye_within_signal_seconds(clients: FaultyClients) -> None:
    late = {
        name: result.seconds
        for name, result in clients.results.items()
        if result.seconds > SIGNAL_SECONDS + GRACE_SECONDS + SLACK_SECONDS
    }
    assert late == {}


def test_the_record_states_the_outcome_of_the_signal(clients: FaultyClients) -> None:
    expected = {
        name: (fault.signal, "handoff_completed" if fault.signal == ACCEPTED else "handoff_failed")
        for name, fault in clients.faults.items()
    }
    assert {name: (result.signal, result.state) for name, result in clients.results.items()} == expected


def test_the_metrics_count_the_same_outcomes(clients: FaultyClients) -> None:
    signals, tokens, handoffs = (f"sipbridge_{what}_total" for what in ("signals", "token_requests", "handoffs"))
    wait_for(lambda: all(clients.bridge.metrics().value(tokens, client=name) for name in clients.faults), "tokens", 15)
    metrics = clients.bridge.metrics()

    def all_are(counter: str, client: str, **labels: str) -> bool:
        return metrics.value(counter, client=client) == metrics.value(counter, client=client, **labels)

    for name, fault in clients.faults.items():
        assert metrics.value(signals, client=name) == metrics.value(handoffs, client=name) == 1, name
        assert all_are(signals, name, result=SIGNAL_RESULTS[fault.signal]), name
        assert all_are(handoffs, name, **HANDOFFS[fault.signal]), name
        assert all_are(tokens, name, result=fault.tokens or "success"), name


def test_a_signal_is_retried_only_after_its_token_was_rejected(clients: FaultyClients) -> None:
    expected = {name: fault.signals_sent for name, fault in clients.faults.items()}
    assert {name: fault.proxy.requests["signal"] for name, fault in clients.faults.items()} == expected


def test_no_request_goes_to_a_foreign_host_that_cxone_names(clients: FaultyClients) -> None:
    assert clients.foreign_host.requests == {}


def test_callers_of_another_client_are_not_affected(clients: FaultyClients) -> None:
    assert [result.signal for result in clients.healthy] == [ACCEPTED] * HEALTHY_CALLS
    assert max(result.seconds for result in clients.healthy) < GRACE_SECONDS + SLACK_SECONDS


# The store's second reader opens the database and its log with the first two simultaneous reads.
SECOND_READER_FILES = 2


def test_memory_and_sockets_are_released(clients: FaultyClients) -> None:
    assert clients.grown_mb < GROWTH_MB
    pid = clients.bridge.program.pid
    most = clients.files_before + SECOND_READER_FILES
    wait_for(lambda: open_files(pid) <= most, f"{most} open files", 20)


def test_no_output_of_the_bridge_contains_a_secret(clients: FaultyClients) -> None:
    demo = DEMO_TENANT
    basic = base64.b64encode(f"{demo.client_id}:{demo.client_secret}".encode()).decode()
    sent = {credential for fault in clients.faults.values() for credential in fault.proxy.credentials}
    assert len(sent - {basic}) > len(WIRE)  # the faulty CXones received tokens too
    secrets = {demo.client_secret, demo.access_key_id, demo.access_key_secret, basic, "Bearer ", "Basic "}
    secrets |= {credential for credential in sent if len(credential) > 1}
    texts = {file.name: file.read_bytes().decode("latin-1") for file in clients.folder.glob("calls.db*")}
    texts["log"] = clients.bridge.program.log.read_text()
    texts["output"] = "\n".join(clients.bridge.program.output)
    texts["metrics"] = clients.bridge.metrics_page()
    texts["records"] = "\n".join(clients.records)
    assert "cxone_signal" in texts["log"]
    found = {(name, secret) for name, text in texts.items() for secret in secrets if secret in text}
    assert found == set()
