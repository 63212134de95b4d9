"""A run of chats in which some are not as they should be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from . import chat_run
from .chat_bot import BotChat, BotError
from .chat_checks import ChatError
from .chat_run import ChatRun

Hold = Callable[[BotChat], Awaitable[None]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ChatRun:
    """A run whose chats relay three messages each; without pauses, and without CXone."""
    monkeypatch.setattr(chat_run, "check_messages", lambda *_, **__: 3)
    cxone: Any = SimpleNamespace(desk=SimpleNamespace(fail=lambda *_, **__: None, automate=lambda **_: None))
    return ChatRun(cxone, seed=1, kinds=["dfo"], pause_seconds=0)


def hold(monkeypatch: pytest.MonkeyPatch, held: Hold) -> None:
    """Let chats take this course."""

    async def converse(_bot: object, _desk: object, chat: BotChat, *_: object) -> None:
        await held(chat)

    monkeypatch.setattr(chat_run, "converse", converse)


@pytest.mark.parametrize("error", [ChatError("chat s1-000-001: lost"), BotError("404"), ValueError("2 match")])
async def test_a_chat_at_fault_is_counted_and_followed_by_another(
    run: ChatRun, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    begun: list[str] = []
    many = asyncio.Event()

    async def held(chat: BotChat) -> None:
        begun.append(chat.id)
        if chat.id == "s1-000-001":
            raise error
        if {"s1-000-003", "s1-001-003"} <= set(begun):
            many.set()

    async def harm() -> None:
        await many.wait()

    hold(monkeypatch, held)
    await run.talk(2, harm())
    (fault,) = run.tally.faults
    assert "s1-000-001" in fault
    assert str(error) in fault
    assert run.tally.messages == 3 * (len(begun) - 1)
    assert "1 chats at fault" in str(run.tally)
    with pytest.raises(ChatError, match="s1-000-001"):
        run.check()


async def test_a_chat_that_never_ends_is_a_fault_and_followed_by_another(
    run: ChatRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_run, "LONGEST_SECONDS", 0.05)
    followed = asyncio.Event()

    async def held(chat: BotChat) -> None:
        if chat.id == "s1-000-001":
            await asyncio.Event().wait()
        followed.set()

    async def harm() -> None:
        await followed.wait()

    hold(monkeypatch, held)
    await run.talk(1, harm())
    (fault,) = run.tally.faults
    assert fault.startswith("not over after 0.05 s: s1-000-001 (sent 0")


async def test_the_chats_that_are_not_over_at_the_end_are_faults(run: ChatRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_run, "LAST_SECONDS", 0.05)

    async def held(_: BotChat) -> None:
        await asyncio.Event().wait()

    hold(monkeypatch, held)
    await run.talk(2, asyncio.sleep(0))
    assert [fault.split(" (")[0] for fault in run.tally.faults] == ["not over: s1-000-001", "not over: s1-001-001"]


async def test_a_run_without_faults_passes(run: ChatRun, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(monkeypatch, lambda _: asyncio.sleep(0))
    await run.talk(2, asyncio.sleep(0))
    run.check()
    assert "2 chats ended" in str(run.tally)
    assert "6 messages relayed, none lost, doubled or overtaken" in str(run.tally)
