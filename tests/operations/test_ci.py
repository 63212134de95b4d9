"""`.ci/retry.py`, which runs a pytest command and its failures once more, with small test files of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RETRY = Path(__file__).parents[2] / ".ci" / "retry.py"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly")

TESTS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({flaky}))
def test_passes_on_the_second_run(number):
    marker = Path(f"ran-{{number}}")
    ran, _ = marker.exists(), marker.touch()
    assert ran, f"too slow: {{number}}\\nsecond line"

@pytest.mark.parametrize("number", range({broken}))
def test_always_fails(number):
    assert False, "broken"

def test_passes():
    pass
"""


def retry(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(  # noqa: S603 (our own)
        [sys.executable, RETRY, *command], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def run_tests(folder: Path, *, flaky: int = 0, broken: int = 0) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(TESTS.format(flaky=flaky, broken=broken))
    return retry(folder, *PYTEST)


def test_passing_tests_run_once(tmp_path: Path) -> None:
    run = run_tests(tmp_path)
    assert run.returncode == 0
    assert "1 passed" in run.stdout
    assert "retry" not in run.stdout


def test_two_tests_may_pass_on_retry_and_are_listed_with_the_reason(tmp_path: Path) -> None:
    run = run_tests(tmp_path, flaky=2)
    assert run.returncode == 0
    assert "2 failed, 1 passed" in run.stdout  # pytest's own summary of the first run
    assert "2 tests passed only on retry; at most 2 may." in run.stdout
    for number in range(2):
        expected = (
            f"  test_sample.py::test_passes_on_the_second_run[{number}]\n    AssertionError: too slow: {number}\n"
        )
        assert expected in run.stdout


def test_three_tests_that_pass_on_retry_fail_the_run(tmp_path: Path) -> None:
    run = run_tests(tmp_path, flaky=3)
    assert run.returncode != 0
    assert "3 tests passed only on retry; at most 2 may." in run.stdout


def test_a_test_that_fails_twice_fails_the_run(tmp_path: Path) -> None:
    run = run_tests(tmp_path, flaky=1, broken=1)
    assert run.returncode != 0
    assert "1 tests passed only on retry" in run.stdout
    assert "  test_sample.py::test_always_fails" not in run.stdout


@pytest.mark.parametrize("command", [("false",), (*PYTEST, "no_such_file.py")])
def test_a_command_that_runs_no_test_fails_the_run(tmp_path: Path, command: tuple[str, ...]) -> None:
    run = retry(tmp_path, *command)
    assert run.returncode != 0
    assert "retry" not in run.stdout
