"""What the C++ side calls of the gate. An exception that left it would end the process, with all calls."""

from __future__ import annotations

from typing import NoReturn

import pytest

from sipbridge.calls.admission import Admission
from sipbridge.calls.readiness import Readiness
from sipbridge.config import Config
from sipbridge.sip.gate import Gate
from tests.fakes import FakeBackpressure

CXONE = {"client_id": "a", "client_secret": "b", "access_key_id": "c", "access_key_secret": "d"}
HANDOFF = {"default": "care", "destinations": {"care": {"method": "release"}}}
PROJECT = {"auth_token": "t", "agent": {"type": "prompt"}, "handoff": HANDOFF}
CLIENT = {"pseudo_numbers": ["1"], "cxone": CXONE, "projects": {"billing": PROJECT}}


def fail(*_: object) -> NoReturn:
    raise TypeError("a fault of ours")


@pytest.fixture
def admission() -> Admission:
    return Admission(Config.model_validate({"clients": {"acme": CLIENT}}))


def make(admission: Admission) -> Gate:
    return Gate(admission, FakeBackpressure(), Readiness(admission), ("PCMU",), fail, fail, fail, fail)


def test_a_source_is_trusted_as_admission_says(admission: Admission) -> None:
    gate = make(admission)
    assert gate.onConnection("127.0.0.1")
    assert not gate.onConnection("192.0.2.1")


def test_a_source_that_cannot_be_judged_is_not_trusted(
    admission: Admission, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admission, "trusts", fail)
    assert not make(admission).onConnection("127.0.0.1")
    assert "a source could not be judged" in caplog.text


def test_a_bye_that_cannot_be_noted_is_not_held(admission: Admission, caplog: pytest.LogCaptureFixture) -> None:
    assert not make(admission).onBye(1, 1)
    assert "a BYE could not be noted" in caplog.text
