from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sipbridge.chats.events import (
    ChannelFault,
    ChatAgentJoined,
    ChatEnded,
    ChatMessageRelayed,
    ChatQueued,
    ChatReleased,
    ChatStarted,
)
from sipbridge.chats.model import ChatState, DeliveryStatus
from sipbridge.config import ProjectKey
from sipbridge.handoffs.outcome import Result
from sipbridge.telemetry import Metrics
from tests.store.chats.chats import make_chat

CHAT = make_chat()
ENDED = CHAT.model_copy(
    update={
        "state": ChatState.TIMED_OUT,
        "ended_at": CHAT.started_at + timedelta(seconds=120),
        "ended_by": "bridge",
        "result": Result.UPSTREAM_ERROR,
        "reason": "no_agent",
    }
)
PROJECT = {"client": CHAT.client, "project": CHAT.project}


@pytest.fixture
def metrics() -> Metrics:
    counted = Metrics(pjsip_version="2.17")
    for event in (
        ChatStarted(CHAT, resumed=True),
        ChatQueued(CHAT),
        ChatAgentJoined(CHAT, 12.5),
        ChatMessageRelayed(CHAT, "to_agent", DeliveryStatus.UNKNOWN, 0.3),
        ChannelFault(CHAT.client, CHAT.project, CHAT.chat_id, CHAT.channel, "silent", "no content here"),
        ChatEnded(ENDED),
        ChatStarted(CHAT),
        ChatReleased(CHAT),
    ):
        counted.chats(event)
    counted.webhooks.count(CHAT.client, CHAT.project, "delivered")
    counted.webhooks.chats_waiting.count = lambda: {ProjectKey(CHAT.client, CHAT.project): 3}
    counted.webhooks.calls_waiting.count = lambda: {ProjectKey(CHAT.client, CHAT.project): 2}
    return counted


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("sipbridge_chats_active", {}, 0),
        ("sipbridge_chats_total", {**PROJECT, "result": "upstream_error", "reason": "no_agent"}, 1),
        ("sipbridge_chats_resumed_total", PROJECT, 1),
        ("sipbridge_chat_messages_total", {**PROJECT, "direction": "to_agent", "delivery": "unknown"}, 1),
        ("sipbridge_chat_relay_seconds_sum", {"direction": "to_agent"}, 0.3),
        ("sipbridge_chat_wait_seconds_sum", {}, 12.5),
        ("sipbridge_chat_duration_seconds_sum", {}, 120),
        ("sipbridge_channel_faults_total", {**PROJECT, "fault": "silent"}, 1),
        ("sipbridge_webhook_deliveries_total", {**PROJECT, "result": "delivered"}, 1),
        ("sipbridge_webhook_chats_waiting", PROJECT, 3),
        ("sipbridge_webhook_calls_waiting", PROJECT, 2),
    ],
)
def test_each_metric_of_chats_has_its_labels_and_value(
    metrics: Metrics, name: str, labels: dict[str, str], expected: float
) -> None:
    found = [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
        if sample.name == name
    ]
    assert found == [(labels, expected)]


def test_webhook_that_has_caught_up_shows_no_chat_that_waits(metrics: Metrics) -> None:
    metrics.page()
    metrics.webhooks.chats_waiting.count = dict
    assert f'sipbridge_webhook_chats_waiting{{client="{CHAT.client}",project="{CHAT.project}"}} 0.0' in (
        metrics.page().decode()
    )
