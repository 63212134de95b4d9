from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable

import pytest

from sipbridge import file_descriptors, thread_priority
from sipbridge.doctor import machine
from sipbridge.doctor.finding import Finding, Level
from sipbridge.doctor.machine import check_machine

from .conftest import MakeConfig

Check = Callable[[str], Finding]
real_clock_state = machine.clock_state
real_is_python_optimised = machine.is_python_optimised


@pytest.fixture
def check(make_config: MakeConfig) -> Check:
    config = make_config()
    return lambda subject: next(found for found in check_machine(config) if found.subject == subject)


@pytest.fixture(autouse=True)
def _good_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_python_optimised", lambda: True)
    monkeypatch.setattr(machine, "has_pjsip", lambda: True)
    monkeypatch.setattr(file_descriptors, "_hard_limit", lambda: 500_000)
    monkeypatch.setattr(thread_priority, "is_permitted", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(machine, "clock_state", lambda: 0)


def test_a_good_machine_has_no_fault(make_config: MakeConfig) -> None:
    assert [found.level for found in check_machine(make_config())] == [Level.OK] * 5


def test_a_python_without_optimisation_is_a_warning(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_python_optimised", lambda: False)
    found = check("Python")
    assert found.level is Level.WARNING
    assert "--enable-optimizations" in found.text


@pytest.mark.parametrize(
    ("prefix", "options", "optimised"),
    [
        ("/usr", "'--enable-shared'", True),
        ("/usr/local", "'--enable-optimizations' '--with-lto'", True),
        ("/home/ada/.pyenv/versions/3.11.7", "'--enable-shared'", False),
        ("/opt/python", None, False),
    ],
)
def test_pythons_of_distributions_and_of_configure_with_the_option_are_optimised(
    monkeypatch: pytest.MonkeyPatch, prefix: str, options: str | None, *, optimised: bool
) -> None:
    monkeypatch.setattr(sys, "base_prefix", prefix)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: options)
    assert real_is_python_optimised() is optimised


def test_without_pjsip_no_bridge_runs(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_pjsip", lambda: False)
    found = check("PJSIP")
    assert found.level is Level.FAULT
    assert "run `make setup`" in found.text


def test_too_few_open_files_are_named_with_the_number_that_is_needed(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_descriptors, "_hard_limit", lambda: 400)
    found = check("open files")
    assert found.level is Level.WARNING
    assert "the limit of 400 carries" in found.text
    assert "LimitNOFILE" in found.text


def test_a_user_without_real_time_priority_is_warned(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_priority, "is_permitted", lambda: False)
    found = check("priority")
    assert found.level is Level.WARNING
    assert "LimitRTPRIO=2" in found.text


def test_one_core_is_too_few_for_real_time_priority(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert check("priority").level is Level.WARNING


def test_a_clock_that_no_time_service_keeps_is_a_warning(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "clock_state", lambda: 5)
    found = check("clock")
    assert found.level is Level.WARNING
    assert "chrony" in found.text


def test_a_system_that_does_not_show_its_clock_is_not_a_fault(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "clock_state", lambda: -1)
    assert check("clock").level is Level.OK


def test_the_kernel_returns_a_state_of_the_clock() -> None:
    # TIME_OK to TIME_ERROR of adjtimex(2); -1 would be an error.
    assert real_clock_state() in range(6)
