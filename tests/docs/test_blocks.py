"""The blocks of the tutorial, and what counts as the same output."""

from __future__ import annotations

import pytest

from tests.docs.blocks import Block, blocks
from tests.docs.walk import PAGE


def test_the_tutorial_begins_with_the_demo() -> None:
    assert blocks(PAGE)[0] == Block("sh", "Terminal 1", "make demo\n")


@pytest.mark.parametrize(
    ("line", "output", "shown"),
    [
        (
            "    0.006  trunk   ← 200 OK, call 8f8ade9b30382cba",
            "    1.2  trunk ← 200 OK, call 0123456789abcdef\n",
            True,
        ),
        ("    0.006  trunk   ← 200 OK", "    0.006  trunk   ← 603 Decline\n", False),
        ("sipbridge 0.1.0 ready: …", "sipbridge 0.2.0 ready: udp://127.0.0.1:5060\n", True),
        ("sipbridge 0.1.0 ready:", "sipbridge 0.2.0 ready: udp://127.0.0.1:5060\n", False),
        ("p2  10000002", "p2  10000003\n", False),
        ("", "one\n\ntwo\n", True),
    ],
)
def test_times_ids_and_versions_may_differ(line: str, output: str, shown: bool) -> None:  # noqa: FBT001 (a parameter)
    assert (not Block("text", "Terminal 1", f"{line}\n").missing(output)) == shown
