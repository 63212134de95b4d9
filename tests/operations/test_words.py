"""Every word for an outcome that an operator reads is explained in a document."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import pytest

from sipbridge import errors
from sipbridge.calls.endings import ENDINGS
from sipbridge.calls.model import LegFailure
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.sip import ReferResult
from sipbridge.chats.happenings import ContactClosed
from sipbridge.chats.model import ChatEventType, ChatState, DeliveryStatus, EndRequest
from sipbridge.handoffs.outcome import Result
from sipbridge.webhooks import DeliveryResult

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
    "ChatEnd": 2,
    "channel_failed": 1,
    "_fate_by_echo": 1,
    "ContactClosed": 0,
    "_report_end": 0,
    "ChannelFailed": 0,
    "ChannelUnreachable": 0,
    "ChannelRefused": 0,
    "AttachmentError": 0,
}
# Functions that report a fault of a channel. The word is the first text among their arguments.
FAULTS = ("fault", "_fault", "on_fault", "_on_fault")
WORD = re.compile(r"[a-z][a-z0-9_]*")


def test_every_word_for_an_outcome_is_documented() -> None:
    documented = {word for page in PAGES for word in _quoted(ROOT / "docs" / page)}
    words = {*_words_of_values(), *_words_in_code()}
    assert len(words) > 50  # the search works
    assert words - documented == set()


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("chat.md", "### States"),
        ("chat.md", "### Events"),
        ("chat.md", "### Reasons"),
        ("chat.md", "**Limits.**"),
        ("metrics.md", "## Faults of channels"),
    ],
)
def test_every_word_in_a_table_about_chats_is_in_the_code(page: str, heading: str) -> None:
    section = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(heading)[2].partition("\n#")[0]
    first_cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    listed = {word for cell in first_cells for word in re.findall(r"`([a-z_]+)`", cell)}
    assert listed
    assert listed - {*_words_of_values(), *_words_in_code()} == set()


def _quoted(page: Path) -> set[str]:
    return set(re.findall(r"`([a-z][a-z0-9_]*)`", page.read_text(encoding="utf-8")))


def _words_of_values() -> Iterator[str]:
    yield from (ending.reason for ending in ENDINGS)
    yield from (result.value for result in Result)
    yield from (failure.value for failure in LegFailure)
    yield from (f"refer_{result.value}" for result in ReferResult)
    yield from (result.value for result in SignalResult)
    yield ContactClosed().reason
    yield from (f"{by}_ended" for by in get_args(EndRequest.model_fields["by"].annotation))
    for words in (ChatState, ChatEventType, DeliveryStatus, DeliveryResult):
        yield from (word.value for word in words)
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.InviteRefused) and error is not errors.InviteRefused:
            yield error.reason


def _words_in_code() -> Iterator[str]:
    # The faults of `doctor` are findings at a terminal, not words of records and metrics.
    for path in set((ROOT / "sipbridge").rglob("*.py")) - set((ROOT / "sipbridge" / "doctor").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for given in _words_of(node):
                if isinstance(given, ast.Constant) and isinstance(given.value, str) and WORD.fullmatch(given.value):
                    yield given.value


def _words_of(node: ast.AST) -> Sequence[ast.expr]:
    """Return the expressions of a node that may be such a word."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name), args=arguments) | ast.Call(func=ast.Name(id=name), args=arguments):
            if name in FAULTS:
                return [each for each in arguments if isinstance(each, ast.Constant)][:1]
            place = WORD_ARGUMENTS.get(name)
            return [] if place is None else arguments[place : place + 1]
        case ast.Tuple(elts=[ast.Attribute(value=ast.Name(id="DeliveryStatus")), reason]):
            return [reason]
        case _:
            return []
