"""The verdict on a test call that was answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.cli import main
from sipbridge.config import load_config
from sipbridge.simulators.caller.audio import Audio
from sipbridge.trial_call.course import find_trouble
from sipbridge.trial_call.events import CallEvents
from sipbridge.trial_call.target import Given, Target, find_target
from sipbridge.trial_call.timeline import Event

COMPLETED = {"state": "handoff_completed"}


@pytest.fixture
def target(tmp_path: Path) -> Target:
    file = tmp_path / "bridge.yaml"
    assert main(["init", str(file)]) == 0
    return find_target(file, load_config(file), Given(digits="0"))


def ended(result: str, reason: str, handoff: dict[str, str] | None = None) -> CallEvents:
    events = CallEvents("contact")
    data: dict[str, Any] = {"contact_id": "contact", "handoff": handoff, "result": None, "reason": None}
    events.events = [Event("call.started", data), Event("call.ended", data | {"result": result, "reason": reason})]
    return events


def audio(packets: int = 100) -> Audio:
    heard = Audio()
    heard.packets = packets
    return heard


def test_a_completed_handoff_has_no_trouble(target: Target) -> None:
    assert find_trouble(audio(), target, ended("success", "confirmed", COMPLETED)) == ""


@pytest.mark.parametrize("handoff", [None, COMPLETED])
def test_a_call_that_did_not_end_with_success_is_trouble_although_audio_arrived(
    target: Target, handoff: dict[str, str] | None
) -> None:
    trouble = find_trouble(audio(), target, ended("upstream_error", "no_ack", handoff))
    assert trouble.startswith("the call ended with upstream_error, no_ack;")


def test_a_failed_handoff_is_trouble(target: Target) -> None:
    events = ended("upstream_error", "refused", {"state": "handoff_failed"})
    assert find_trouble(audio(), target, events).startswith("the handoff ended as handoff_failed;")


def test_missing_audio_is_named_before_all_else(target: Target) -> None:
    assert find_trouble(audio(0), target, ended("upstream_error", "no_ack")).startswith("no audio arrived")


def test_digits_without_a_handoff_are_trouble(target: Target) -> None:
    trouble = find_trouble(audio(), target, ended("success", "caller_hung_up"))
    assert trouble.startswith("no handoff followed the DTMF digits 0")
