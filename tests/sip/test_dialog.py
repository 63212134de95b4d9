"""What a dialog's audio is connected to. PJMEDIA is played by a table of who has which conference slot just now."""

from __future__ import annotations

from typing import Any

import pytest

from sipbridge.sip import dialog as module
from sipbridge.sip.dialog import Dialog


class Conference:
    """Plays the functions of pjsua2 that a dialog uses: slots move, and connections go with them."""

    def __init__(self) -> None:
        self.slots: dict[int, int] = {}
        self.connected: set[tuple[int, int]] = set()

    def callAudio(self, call: int) -> int:  # noqa: N802 (the name in pjsua2)
        return self.slots.get(call, -1)

    def connectSlots(self, source: int, sink: int) -> None:  # noqa: N802 (as above)
        assert {source, sink} <= set(self.slots.values())
        self.connected.add((source, sink))

    def disconnectSlots(self, source: int, sink: int) -> None:  # noqa: N802 (as above)
        self.connected.discard((source, sink))


@pytest.fixture
def conference(monkeypatch: pytest.MonkeyPatch) -> Conference:
    conference = Conference()
    monkeypatch.setattr(module, "pj", conference)
    return conference


def _dialog(slot: int) -> Dialog:
    leg: Any = None  # a dialog never asks its leg for anything
    return Dialog(leg, slot)


def test_two_are_joined_when_both_have_audio(conference: Conference) -> None:
    caller, agent = _dialog(1), _dialog(2)
    caller.join(agent)
    assert conference.connected == set()
    conference.slots = {1: 11}
    caller.connect()
    assert conference.connected == set()
    conference.slots = {1: 11, 2: 12}
    agent.connect()
    assert conference.connected == {(11, 12), (12, 11)}


def test_a_slot_that_went_to_another_call_is_left_alone(conference: Conference) -> None:
    caller, agent = _dialog(1), _dialog(2)
    conference.slots = {1: 11, 2: 12}
    caller.join(agent)
    # The agent resumes and hangs up in one breath, and another call gets its slot before we hear of either.
    conference.slots, conference.connected = {1: 11, 3: 12}, set()
    agent.connect()
    caller.connect()
    agent.part()
    assert conference.connected == set()


def test_parting_undoes_joining(conference: Conference) -> None:
    caller, agent = _dialog(1), _dialog(2)
    conference.slots = {1: 11, 2: 12}
    caller.join(agent)
    caller.part()
    assert conference.connected == set()
    caller.connect()
    agent.connect()
    assert conference.connected == set()


def test_one_that_is_joined_to_another_leaves_the_first(conference: Conference) -> None:
    caller, agent, desk = _dialog(1), _dialog(2), _dialog(3)
    conference.slots = {1: 11, 2: 12, 3: 13}
    caller.join(agent)
    caller.join(desk)
    assert conference.connected == {(11, 13), (13, 11)}
    agent.connect()
    assert conference.connected == {(11, 13), (13, 11)}


def test_what_was_joined_to_one_that_is_over_is_joined_to_nobody(conference: Conference) -> None:
    caller, agent = _dialog(1), _dialog(2)
    conference.slots = {1: 11, 2: 12}
    caller.join(agent)
    conference.slots, conference.connected = {1: 11}, set()
    agent.let_go()
    caller.connect()
    assert caller.peer is None
    assert conference.connected == set()
