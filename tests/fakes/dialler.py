"""Outgoing calls without SIP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from sipbridge.calls.ports.sip import Dialler, Headers, ReferHandler
from sipbridge.telephony.credentials import Credentials
from tests.fakes.leg import FakeLeg


class OutgoingInvite(NamedTuple):
    """An INVITE that was to be sent."""

    uri: str
    target: str
    headers: Headers
    caller: str
    sources: Sequence[str]
    credentials: Credentials | None


class FakeDialler:
    """Implements `Dialler`: records each INVITE and lookup; `make_leg` returns its leg, or raises `DialFailed`."""

    def __init__(self, make_leg: Callable[[OutgoingInvite], Awaitable[FakeLeg]]) -> None:
        self.targets: dict[str, list[str]] = {}
        self.located: list[tuple[str, str]] = []
        self.invites: list[OutgoingInvite] = []
        self._make_leg = make_leg

    async def locate(self, uri: str, redirected_by: str = "") -> list[str]:
        self.located.append((uri, redirected_by))
        return self.targets.get(uri, ["udp://127.0.0.1:5060"])

    async def dial(
        self,
        uri: str,
        target: str,
        headers: Headers,
        caller: str,
        *,
        sources: Sequence[str] = (),
        credentials: Credentials | None = None,
        refer_handler: ReferHandler | None = None,
    ) -> FakeLeg:
        invite = OutgoingInvite(uri, target, headers, caller, sources, credentials)
        self.invites.append(invite)
        leg = await self._make_leg(invite)
        leg.refer_handler = refer_handler
        return leg


def _implements(dialler: FakeDialler) -> Dialler:
    return dialler
