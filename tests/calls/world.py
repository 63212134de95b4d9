"""A call with fakes of everything that it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.call import Call
from sipbridge.calls.context import CallContext
from sipbridge.calls.events import CallEnded, CallStarted, HandoffFinished, HandoffStarted, InviteAnswered, SignalSent
from sipbridge.calls.model import CallRecord, CallState, Invite
from sipbridge.calls.ports.sip import Backpressure
from sipbridge.calls.registry import CallRegistry
from sipbridge.calls.session import run_call
from sipbridge.config import Config
from sipbridge.errors import DialFailed
from sipbridge.handoffs.record import HandoffRecord, HandoffState
from sipbridge.handoffs.request import HandoffRequest
from tests.fakes import (
    FakeAgent,
    FakeBackpressure,
    FakeCallJournal,
    FakeCentre,
    FakeClaims,
    FakeConversation,
    FakeDialler,
    FakeLeg,
    FakeSpeaker,
    FakeStore,
    Journal,
    OutgoingInvite,
    RecordingObserver,
)

NUMBER = "+19995550001"
TOKEN = "token-of-billing"
CONTACT = "123456789"
MAIN_CONTACT = "987654321"
SALES_URI = "sip:+15550199@127.0.0.1:5080"
DESK_URI = "sip:desk@127.0.0.1:5090"

DESTINATIONS: dict[str, Any] = {
    "care": {"skill": "10000002", "method": "release"},
    "quiet": {"method": "release", "signal": False},
    "sales": {"skill": "10000003", "method": "refer", "uri": SALES_URI, "headers": {"X-Queue": "sales"}},
    "carrier": {"method": "refer", "uri": SALES_URI, "signal": False},
    "desk": {"method": "invite", "uri": DESK_URI, "signal": False},
    "team": {"method": "invite", "uri": DESK_URI, "answer_timeout_seconds": 0.02},
}


def make_config(*, sip: dict[str, Any] | None = None, handoff: dict[str, Any] | None = None, **project: Any) -> Config:  # noqa: ANN401 (keys of a project)
    """Return a configuration with one client and one project, with changes."""
    whole_handoff = {
        "default": "care",
        "destinations": DESTINATIONS,
        "allowed_routes": ["sip:*@127.0.0.1*"],
        "signal": {"p1": "{destination}", "p2": "{skill}", "p3": "{reason}", "p9": "{pop_url}"},
        "end_signal": {"p1": "End", "p2": "{reason}"},
        "release_grace_seconds": 0.01,
        **(handoff or {}),
    }
    client = {
        "pseudo_numbers": [NUMBER],
        "cxone": {"client_id": "a", "client_secret": "b", "access_key_id": "c", "access_key_secret": "d"},
        "projects": {
            "billing": {"auth_token": TOKEN, "agent": {"type": "prompt"}, "handoff": whole_handoff, **project}
        },
    }
    return Config.model_validate({"sip": sip or {}, "clients": {"acme": client}})


def make_invite(*, source: str = "127.0.0.1", malformed: str | None = None, **headers: str) -> Invite:
    """Return an INVITE that is admitted; `X_Auth_Token="…"` changes a header, `X_Auth_Token=""` removes it."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {"X-Auth-Token": TOKEN, "X-InContact-ContactId": CONTACT, "X-InContact-MasterId": MAIN_CONTACT, **own}
    kept = CIMultiDictProxy(CIMultiDict((name, value) for name, value in given.items() if value))
    return Invite("sip-id@trunk", source, 5060, "udp", (NUMBER,), "+15550100", kept, malformed)


def version_of(config: Config, admission: Admission | None = None) -> CallContext:
    """Return a configuration version that has nothing but its configuration."""
    nothing: Any = None
    return CallContext(config, {}, {}, {}, nothing, nothing, nothing, nothing, nothing, admission or nothing, pop_url)


def admission_of(config: Config, clock: Callable[[], float] = time.monotonic) -> Admission:
    """Return an `Admission` that uses this configuration."""
    admission = Admission(config, clock=clock)
    admission.use(version_of(config, admission))
    return admission


def admit(admission: Admission, invite: Invite, load: Backpressure | None = None) -> Admitted:
    """Admit an INVITE, with no load unless given."""
    return admission.admit(invite, load or FakeBackpressure())


def shorten_store_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten `STORE_SECONDS`."""
    monkeypatch.setattr("sipbridge.calls.call.STORE_SECONDS", 0.01)


def pop_url(record: CallRecord) -> str:
    """Return the pop link of a call."""
    return f"https://bridge.example/pop/{record.call_id}"


class World:
    """One call: `begin`, actions, then `over`, which also checks the invariants of every call."""

    def __init__(
        self,
        *,
        handoff: dict[str, Any] | None = None,
        registry: CallRegistry | None = None,
        has_claims: bool = False,
        hold_clip: str | None = None,
        **project: Any,  # noqa: ANN401 (keys of a project)
    ) -> None:
        self.journal = Journal()
        self.observer = RecordingObserver()
        self.leg = FakeLeg(self.journal)
        self.desk = FakeLeg(self.journal, "desk")
        self.dialler = FakeDialler(self._dial_desk)
        # Raised if the desk is called.
        self.dialling: DialFailed | None = None
        self.agent = FakeAgent(self.journal)
        self.speaker = FakeSpeaker(self.journal)
        self.centre = FakeCentre(self.journal)
        self.claims = FakeClaims(self.journal)
        self.store = FakeStore(self.journal)
        self.registry = CallRegistry() if registry is None else registry
        config = make_config(sip=None, handoff=handoff, **project)
        self.admission = Admission(config)
        self.call_journal = FakeCallJournal(self.journal)
        context = CallContext(
            config=config,
            agents={("acme", "billing"): self.agent},
            speakers={("acme", "billing"): self.speaker} if project.get("tts_command") else {},
            hold_clips={} if hold_clip is None else {("acme", "billing"): hold_clip},
            centres={"acme": self.centre},
            store=self.store,
            journal=self.call_journal,
            dialler=self.dialler,
            observe=self.observer,
            registry=self.registry,
            admission=self.admission,
            pop_url=pop_url,
            claims=self.claims if has_claims else None,
        )
        self.admission.use(context)
        self.call = Call(admit(self.admission, make_invite()), self.leg)
        self.task: asyncio.Task[None] | None = None

    async def _dial_desk(self, _: OutgoingInvite) -> FakeLeg:
        await self.journal.reach("dial")
        if self.dialling is not None:
            raise self.dialling
        return self.desk

    @property
    def conversation(self) -> FakeConversation:
        return self.agent.conversation

    @property
    def record(self) -> CallRecord:
        return self.call.record

    @property
    def handoff(self) -> HandoffRecord:
        assert self.record.handoff is not None
        return self.record.handoff

    def begin(self) -> None:
        """Start the call."""
        self.task = asyncio.create_task(run_call(self.call))

    async def ring(self) -> None:
        """Start the call, and return while its agent does not answer."""
        self.journal.hold("agent.connect")
        self.begin()
        await self.journal.until("agent.connect")

    async def start_conversation(self) -> None:
        """Start the call, and return when the conversation has begun."""
        self.begin()
        await self.journal.until("agent.run")

    def request_handoff(self, **request: object) -> CallRecord:
        """Hand off through the API."""
        return self.call.request_handoff(HandoffRequest.model_validate(request), requested_by="api")

    async def hand_off(self, **request: object) -> CallRecord:
        """Run a call in which the agent hands off."""
        await self.start_conversation()
        self.conversation.hands_off(**request)
        return await self.finish()

    async def finish(self) -> CallRecord:
        """Wait for the end, check the invariants of every call, and return its record."""
        assert self.task is not None
        await asyncio.wait([self.task], timeout=5)
        assert self.task.done(), f"the call does not end; last was {self.journal.steps[-1]}"
        self.task.result()
        self._check_events()
        assert self.leg.ended.done()
        assert self.call not in self.registry.all()
        assert self.admission.active == 0
        assert self.record.state is CallState.ENDED
        assert self.record.ended_at is not None
        assert self.record.ended_by is not None
        assert self.record.handoff is None or self.record.handoff.state is not HandoffState.INITIATED
        if self.store.failing is None:
            assert self.store.written[-1] == self.record
            assert self.call_journal.open == {}
        return self.record

    def _check_events(self) -> None:
        self.observer.one(CallStarted)
        self.observer.one(InviteAnswered)
        ended = self.observer.one(CallEnded)
        assert self.observer.events[-1] is ended
        assert ended.record == self.record
        assert (ended.outcome.result, ended.outcome.reason) == (self.record.result, self.record.reason)
        assert ended.duration_seconds >= 0
        assert len(self.observer.of(HandoffStarted)) == len(self.observer.of(HandoffFinished))
        assert len(self.observer.of(SignalSent)) == len(self.centre.signals) <= 1
        if "agent.run" in self.journal.steps:
            assert self.journal.steps.count("agent.close") == 1
