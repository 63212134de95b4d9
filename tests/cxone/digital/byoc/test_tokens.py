"""The tokens of a box."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import jwt
import pytest

from sipbridge.config import ByocChannelConfig
from sipbridge.cxone.digital.byoc import channel as module
from sipbridge.cxone.digital.byoc.channel import CLOCK_SECONDS, TOKEN_SECONDS, ByocChannel
from sipbridge.cxone.digital.byoc.parts import ByocParts

KEY, SECRET = ("acme", "support", "sms"), "box-secret"


class Parts:
    """The one part of a channel that its tokens need."""

    def __init__(self, key: tuple[str, str, str]) -> None:
        self.key = key


def box(key: tuple[str, str, str] = KEY, secret: str = SECRET) -> ByocChannel:
    settings = {"type": "byoc", "channel_id": "c", "box": {"client_id": "box-client", "client_secret": secret}}
    return ByocChannel(ByocChannelConfig.model_validate(settings), cast("ByocParts", Parts(key)))


def token_of(channel: ByocChannel) -> str:
    issued = channel.issue_token("box-client", SECRET)
    assert issued is not None
    return issued[0]


def test_a_token_is_accepted_by_its_box_after_a_restart_too() -> None:
    issued = box().issue_token("box-client", "box-secret")
    assert issued is not None
    token, seconds = issued
    assert seconds == TOKEN_SECONDS
    assert box().accepts_token(token)


@pytest.mark.parametrize(
    ("client_id", "client_secret"),
    [
        ("box-client", "box-secreT"),
        ("box-client", ""),
        ("", ""),
        ("other", "box-secret"),
        ("box-client\nbox-secret", ""),
        ("box-client", "\ud800"),
    ],
)
def test_wrong_credentials_get_no_token(client_id: str, client_secret: str) -> None:
    assert box().issue_token(client_id, client_secret) is None


@pytest.mark.parametrize("key", [("acme", "support", "other"), ("acme", "sales", "sms"), ("other", "support", "sms")])
def test_a_token_of_another_box_is_refused(key: tuple[str, str, str]) -> None:
    assert not box().accepts_token(token_of(box(key)))


def test_a_token_of_another_secret_is_refused() -> None:
    assert not box(secret="changed-secret").accepts_token(token_of(box()))


@pytest.mark.parametrize(
    ("seconds", "is_accepted"),
    [(0, True), (TOKEN_SECONDS + CLOCK_SECONDS - 60, True), (TOKEN_SECONDS + CLOCK_SECONDS, False)],
)
def test_a_token_expires_but_not_for_a_node_whose_clock_is_ahead(
    monkeypatch: pytest.MonkeyPatch, seconds: int, *, is_accepted: bool
) -> None:
    issued_at = time.time() - seconds
    with monkeypatch.context() as patch:
        patch.setattr(module, "time", SimpleNamespace(time=lambda: issued_at))
        token = token_of(box())
    assert box().accepts_token(token) is is_accepted


def forged(algorithm: str, key: str, **claims: object) -> str:
    return jwt.encode({"box": "/".join(KEY), "exp": int(time.time()) + 60, **claims}, key, algorithm)


@pytest.mark.parametrize(
    "token",
    [
        lambda: forged("none", ""),
        lambda: forged("HS256", "box-secret" * 4),
        lambda: "",
        lambda: "a.b.c",
        lambda: "\ud800",
        lambda: token_of(box())[:-2],
        lambda: "x" * 100_000,
    ],
)
def test_a_forged_token_is_refused(token: Callable[[], Any]) -> None:
    assert not box().accepts_token(token())
