"""Every word for an outcome that an operator reads is explained in a document."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sipbridge import errors
from sipbridge.calls.endings import ENDINGS
from sipbridge.calls.model import LegFailure
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import ReferResult
from sipbridge.handoffs.outcome import Result

ROOT = Path(__file__).parents[2]
PAGES = ("handoff.md", "metrics.md", "operations.md", "agents.md", "http-api.md", "chat.md")
# Constructors and methods that take such a word, and its position among their arguments.
WORD_ARGUMENTS = {
    "Outcome": 1,
    "Ending": 2,
    "Hangup": 1,
    "ConversationEnd": 1,
    "note_fault": 0,
    "note_refused_handoff": 0,
}
WORD = re.compile(r"[a-z][a-z0-9_]*")


def test_every_word_for_an_outcome_is_documented() -> None:
    documented = {word for page in PAGES for word in _quoted(ROOT / "docs" / page)}
    words = {*_words_of_values(), *_words_in_code()}
    assert len(words) > 50  # the search works
    assert words - documented == set()


def _quoted(page: Path) -> set[str]:
    return set(re.findall(r"`([a-z][a-z0-9_]*)`", page.read_text(encoding="utf-8")))


def _words_of_values() -> Iterator[str]:
    yield from (ending.reason for ending in ENDINGS)
    yield from (result.value for result in Result)
    yield from (failure.value for failure in LegFailure)
    yield from (f"refer_{result.value}" for result in ReferResult)
    yield from (result.value for result in SignalResult)
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.InviteRefused) and error is not errors.InviteRefused:
            yield error.reason


def _words_in_code() -> Iterator[str]:
    for path in (ROOT / "sipbridge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = WORD_ARGUMENTS.get(name)
            if place is None or len(node.args) <= place:
                continue
            given = node.args[place]
            if isinstance(given, ast.Constant) and isinstance(given.value, str) and WORD.fullmatch(given.value):
                yield given.value
