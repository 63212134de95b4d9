"""The tutorial works word for word, in a network of its own: its programs listen on fixed ports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.walk import PAGE, ROOT

# A user other than root may have a network of its own as well, unless the system forbids it.
OWN_NETWORK = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]

pytestmark = [
    pytest.mark.program,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        subprocess.run([*OWN_NETWORK, "true"], check=False, capture_output=True).returncode != 0,  # noqa: S603 (our own)
        reason="this system gives users no network of their own",
    ),
]


def follow(page: Path) -> subprocess.CompletedProcess[str]:
    program = f"ip link set lo up && exec {sys.executable} -m tests.docs.walk --ready --page {page}"
    command = [*OWN_NETWORK, "bash", "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 (our own)


def test_the_tutorial_leads_to_a_handoff_of_the_readers_own_agent() -> None:
    done = follow(PAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in (
        "sipbridge call bridge.yaml --digits 1",
        "the link to the screen-pop is opened",
        "the end of the page",
    ):
        assert step in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('"reason": "where_is_my_order"', '"reason": "something_else"', "does not show these lines of the page"),
        ("sipbridge init --yes", "sipbridge init --nonsense", "a command failed"),
        ("\nA-7\n", "\nB-8\n", "the screen-pop does not show ['B-8']"),
    ],
)
def test_a_page_that_does_not_say_what_happens_is_found(tmp_path: Path, right: str, wrong: str, complaint: str) -> None:
    page = tmp_path / "tutorial.md"
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(right) == 1
    page.write_text(text.replace(right, wrong), encoding="utf-8")
    done = follow(page)
    assert done.returncode == 1
    assert complaint in done.stderr
