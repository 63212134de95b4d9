"""Run a pytest command, run the tests that failed once more, and report those that passed only then.

    .venv/bin/python .ci/retry.py make test

Calls run in real time and the machine may stall for a moment, so a failure may say nothing about the code.
Exits with 0 if every test passed, at most MAX_RETRIED of them on the second run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

MAX_RETRIED = 2
# One after the other, in the order of the files. After three failures that repeat, the rest need no second run.
RETRY = ["-m", "pytest", "--last-failed", "--last-failed-no-failures", "none", "--maxfail", "3"]


def run(command: list[str], report: Path) -> tuple[int, dict[str, str]]:
    """Run a pytest command with its output shown; return its exit code, and the reason of failure or "" per test."""
    options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={report}"
    code = subprocess.run(command, env={**os.environ, "PYTEST_ADDOPTS": options}, check=False).returncode  # noqa: S603
    results: dict[str, str] = {}
    # Without a report, pytest did not run; its exit code is an error.
    for case in ET.parse(report).iter("testcase") if report.exists() else ():  # noqa: S314 (pytest wrote it)
        problem = next((child.get("message", "") for child in case if child.tag in {"failure", "error"}), "")
        # A test that fails and then fails in its teardown has two entries; the first has the reason.
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        results[name] = results.get(name) or problem
    return code, results


def main() -> int:
    """Run the command line."""
    with tempfile.TemporaryDirectory() as folder:
        code, first = run(sys.argv[1:], Path(folder, "first.xml"))
        failed = {name: problem for name, problem in first.items() if problem}
        if not failed:
            return code
        print(f"\n{len(failed)} tests failed and run once more.", flush=True)
        code, second = run([sys.executable, *RETRY], Path(folder, "second.xml"))
    retried = [name for name in failed if second.get(name) == ""]
    print(f"\n{len(retried)} tests passed only on retry; at most {MAX_RETRIED} may.")
    for name in retried:
        print(f"  {name}\n    {failed[name].splitlines()[0]}")
    return 0 if code == 0 and len(retried) == len(failed) <= MAX_RETRIED else 1


if __name__ == "__main__":
    sys.exit(main())
