from __future__ import annotations

from typing import Any

import pytest

from sipbridge.config import Config, descriptors_of_chats, descriptors_per_call
from sipbridge.config.sizes import ports_per_call

from .files import dfo

PROMPT: dict[str, Any] = {"type": "prompt"}
SIP: dict[str, Any] = {"type": "sip", "uri": "sip:bot@127.0.0.1"}
WEBSOCKET: dict[str, Any] = {"type": "websocket", "url": "ws://127.0.0.1/"}
RELEASE: dict[str, Any] = {"method": "release"}
INVITE: dict[str, Any] = {"method": "invite", "uri": "sip:desk@127.0.0.1"}


def make(
    *agents: dict[str, Any], destination: dict[str, Any] = RELEASE, routes: tuple[str, ...] = (), chat: bool = False
) -> Config:
    handoff = {"default": "care", "destinations": {"care": destination}, "allowed_routes": routes}
    cxone = {"client_id": "a", "client_secret": "b", "access_key_id": "c", "access_key_secret": "d"}
    projects = {f"p{n}": {"auth_token": f"t{n}", "agent": each, "handoff": handoff} for n, each in enumerate(agents)}
    if chat:
        projects["bot"] = {"chat": {"channels": {"web": dfo()}}}
    return Config.model_validate({"clients": {"acme": {"pseudo_numbers": ["1"], "cxone": cxone, "projects": projects}}})


@pytest.mark.parametrize(
    ("config", "ports", "descriptors"),
    [
        (make(PROMPT), 2, 2),
        (make(WEBSOCKET), 2, 3),
        (make(SIP), 4, 4),
        (make(SIP, destination=INVITE), 6, 6),
        (make(WEBSOCKET, routes=("sip:*@127.0.0.1",)), 4, 5),
        (make(PROMPT, SIP, WEBSOCKET), 4, 4),
        (make(chat=True), 2, 2),  # no call, but a number to divide by
    ],
)
def test_a_call_needs_the_resources_of_the_most_costly_project(config: Config, ports: int, descriptors: int) -> None:
    assert (ports_per_call(config), descriptors_per_call(config)) == (ports, descriptors)


def test_chats_need_two_descriptors_each_if_a_project_has_them() -> None:
    assert descriptors_of_chats(make(PROMPT, chat=True)) == 2 * 2000
    assert descriptors_of_chats(make(PROMPT)) == 0
