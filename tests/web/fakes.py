"""Fakes for tests of the HTTP API: calls in progress, and the configuration of two clients."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.live_call import LiveCall
from sipbridge.chats.context import ChatContext
from sipbridge.chats.reception import Reception
from sipbridge.chats.registry import ChatRegistry
from sipbridge.config import (
    ApiKey,
    AuthToken,
    ChatConfig,
    ClientConfig,
    Config,
    CxoneConfig,
    HandoffConfig,
    HttpConfig,
    PromptAgentConfig,
    ReleaseDestination,
    VoiceProjectConfig,
)
from sipbridge.errors import ConfigError, HandoffConflict, HandoffInvalid
from sipbridge.handoffs.record import Turn
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.web import ChatDeps, ChatFeed, NodeReport, OtherNode, ReloadReport
from tests.fakes.channel_box import FakeBox
from tests.fakes.chat_store import FakeChatStore
from tests.fakes.digital_channel import FakeChannel
from tests.store.records import START, make_handoff

KEY = "billing-key-0123456789"
SALES_KEY = "sales-key-0123456789"
OTHER_KEY = "other-key-0123456789"
ADMIN_KEY = "admin-key-0123456789"

DFO = {"type": "dfo", "brand_id": 1, "channel_id": "chat_1", "environment": "NA1"}

POP_SECRET = "a long text that only the operator knows"


class FakeCall:
    """A `LiveCall` that records the requests to it. Its only destination is `care`."""

    def __init__(self, record: CallRecord) -> None:
        self.record = record
        self.requests: list[tuple[HandoffRequest, str]] = []
        self.refusals: list[tuple[str, str]] = []
        self.hung_up = False
        self.turns: list[Turn] = []
        self.key: str | None = None

    def accepts_key(self, candidate: str) -> bool:
        return candidate == self.key

    def check_handoff(self, request: HandoffRequest) -> None:
        if self.record.handoff:
            raise HandoffConflict("the call is already handed off")
        if request.destination not in (None, "care"):
            raise HandoffInvalid("destination: this project has no such destination")

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        self.check_handoff(request)
        self.requests.append((request, requested_by))
        handoff = make_handoff(
            shared_id=request.shared_id or self.record.contact_id,
            data=request.data,
            reason=request.reason or "care",
            handoff_at=START + timedelta(seconds=30),
        )
        self.record = self.record.model_copy(update={"state": CallState.HANDING_OFF, "handoff": handoff})
        return self.record

    def request_hangup(self) -> None:
        if self.record.handoff:
            raise HandoffConflict("a handoff is under way")
        self.hung_up = True

    def add_turns(self, turns: Iterable[Turn]) -> None:
        self.turns.extend(turns)

    def note_fault(self, fault: str, message: str) -> None:
        raise AssertionError(f"the HTTP API finds fault with no agent: {fault}, {message}")

    def note_refused_handoff(self, fault: str, why: str) -> None:
        self.refusals.append((fault, why))


class FakeDirectory:
    """A `CallDirectory` of the calls that a test adds."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []

    def add(self, record: CallRecord) -> FakeCall:
        self.calls.append(FakeCall(record))
        return self.calls[-1]

    def find(self, client: str, project: str, call_id: str) -> FakeCall | None:
        return next((call for call in self._of(client, project) if call.record.call_id == call_id), None)

    def find_shared(self, client: str, project: str, shared_id: str) -> FakeCall | None:
        return next((call for call in self._of(client, project) if call.record.shared_id == shared_id), None)

    def of_project(self, client: str, project: str) -> list[LiveCall]:
        return list(self._of(client, project))

    def newest(self) -> Iterable[LiveCall]:
        return sorted(self.calls, key=lambda call: call.record.started_at, reverse=True)

    def _of(self, client: str, project: str) -> list[FakeCall]:
        mine = [call for call in self.calls if (call.record.client, call.record.project) == (client, project)]
        return sorted(mine, key=lambda call: call.record.started_at, reverse=True)


class FakeChats:
    """The chat half of a bridge: chats really run, on fake channels in memory. Each project has a box of its own."""

    def __init__(self) -> None:
        config = make_config()
        keys = [key for key, _ in config.all_projects()]
        self.channels = {(*key, "web"): FakeChannel() for key in keys}
        self.boxes = {(*key, "sms"): FakeBox(f"token of {key.client}/{key.project}") for key in keys}
        self.store, self.feed, self.registry = FakeChatStore(), ChatFeed(), ChatRegistry()
        self.recovered = True
        context = ChatContext(config, self.channels, self.store, self.feed, lambda _: None, self.registry, lambda _: "")
        self.reception = Reception(lambda: context)

    def deps(self) -> ChatDeps:
        def find_box(client: str, project: str, channel: str) -> FakeBox | None:
            return self.boxes.get((client, project, channel))

        return ChatDeps(self.reception, self.registry, self.store, self.feed, find_box, lambda: self.recovered)


class FakeNodes:
    """A `Nodes` that knows the nodes that a test gives it."""

    def __init__(self, *reports: NodeReport) -> None:
        self.epoch = "epoch-a"
        self.reports = list(reports)

    def respond_to_probe(self, _: str) -> str | None:
        return self.epoch

    def sign(self, *_: str) -> str:
        raise NotImplementedError

    def count_forward(self) -> None:
        raise NotImplementedError

    def others(self) -> list[OtherNode]:
        return []

    async def all(self) -> list[NodeReport]:
        return self.reports

    async def owner_of_call(self, _: str) -> OtherNode | None:
        return None

    async def owner_of_chat(self, *_: str) -> OtherNode | None:
        return None


class FakeAdminControls:
    """An `AdminControls` that records the requests to it."""

    def __init__(self) -> None:
        self.since = START
        self.draining = False
        self.calls = 2
        self.chats = 3
        self.reloads = 0
        self.problems: list[str] = []

    def drain(self) -> None:
        self.draining = True

    async def reload(self) -> ReloadReport:
        if self.problems:
            raise ConfigError(self.problems)
        self.reloads += 1
        return ReloadReport(("sip.max_calls",), ("sip.srtp: keys travel",))


def make_config(**http: Any) -> Config:  # noqa: ANN401 (keys of the section `http`)
    given = {
        "frame_ancestors": ("'self'", "https://*.nicecxone.com"),
        "pop_link_secret": POP_SECRET,
        "admin": {"keys": [ADMIN_KEY]},
        "max_requests_per_second": 10_000,
    } | http
    return Config(
        http=HttpConfig.model_validate(given),
        clients={
            "acme": _client("+19995550001", billing=KEY, sales=SALES_KEY),
            "other": _client("+19995550002", billing=OTHER_KEY),
        },
    )


def _client(number: str, **keys: str) -> ClientConfig:
    cxone = CxoneConfig(client_id="id", client_secret="s" * 16, access_key_id="key", access_key_secret="s" * 16)
    return ClientConfig(
        pseudo_numbers=(number,),
        cxone=cxone,
        projects={name: _project(f"{name}-token-0123456789", key) for name, key in keys.items()},
    )


def _project(token: str, key: str) -> VoiceProjectConfig:
    return VoiceProjectConfig(
        auth_token=AuthToken(token),
        api_keys=(ApiKey(key),),
        agent=PromptAgentConfig(type="prompt", then="handoff"),
        chat=ChatConfig.model_validate({"channels": {"web": DFO}}),
        handoff=HandoffConfig(default="care", destinations={"care": ReleaseDestination(method="release")}),
    )
