"""A bridge whose projects hand chats off to the simulated chat gateway, and chats as a bot and the desk see them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sipbridge.trial_call.timeline import Event
from tests.harness.cxone.desk import Desk
from tests.harness.ports import reserved_port
from tests.harness.programs.bridge import Bridge, Project, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import Settings, bridge_settings, chat_project_settings, client_settings, key
from tests.harness.waiting import wait_for
from tests.harness.web.event_stream import EventStream
from tests.harness.web.metrics import Metrics

CLIENT = "acme"
PROJECT = "support"
CHANNELS = {
    "messaging": "chat_11111111-1111-4111-8111-111111111111",
    "livechat": "chat_22222222-2222-4222-8222-222222222222",
    "secured": "chat_33333333-3333-4333-8333-333333333333",
    "images": "chat_44444444-4444-4444-8444-444444444444",  # small ones only
    "bare": "chat_55555555-5555-4555-8555-555555555555",  # without attachments
    "members": "chat_66666666-6666-4666-8666-666666666666",  # for customers that a bot has no code of
    "unknown": "chat_99999999-9999-4999-8999-999999999999",  # CXone does not have it
}
DEFAULT_SETTINGS = {"page_size": 30, "token_seconds": 3600, "idle_seconds": 600, "connection_seconds": 7200}
DEFAULT_SETTINGS |= {"max_frame_bytes": 131_072, "deduplicate": False, "down": False}

_ids = itertools.count(1)


@dataclass
class PlacedChat:
    """A chat: its API, its events so far, and its conversation at the desk."""

    id: str
    project: Project
    desk: Desk
    seen: list[Event] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    stream: EventStream | None = None

    def listen(self) -> None:
        """Open the stream of events, after those that were seen."""
        after = max((event.data["sequence"] or 0 for event in self.seen), default=0)
        url = f"{self.project.url}/chats/{self.id}/events?after={after}"
        self.stream = self.stack.enter_context(EventStream(url, self.project.key))

    def event(self, kind: str, count: int = 1, seconds: float = 10) -> dict[str, Any]:
        """Return the payload of the event of that kind, or of the one with that number, once it has come."""
        while len(found := self.payloads(kind)) < count:
            assert self.stream is not None
            come = self.stream.until(kind, seconds)
            self.seen += come
            if not come or come[-1].name != kind:
                raise TimeoutError(f"no {kind} within {seconds:g} s; seen: {[event.name for event in self.seen]}")
        return found[count - 1]

    def payloads(self, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of the events of a kind that were seen."""
        return [event.data["payload"] for event in self.seen if event.name == kind]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events that were seen, without typing."""
        return [event.name for event in self.seen if event.data["sequence"] is not None]

    @property
    def texts(self) -> list[str]:
        """The texts of the human agent that were seen."""
        return [payload["text"] for payload in self.payloads("agent_message")]

    def post(self, what: str, body: object) -> int:
        """Post to the chat; return the status."""
        return self.project.request(f"chats/{self.id}/{what}", "POST", body).status

    def say(self, text: str, **more: object) -> None:
        """Send a message to the human agent."""
        assert self.post("messages", {"text": text, **more}) == 202

    def repeat(self, text: str, id_: str) -> None:
        """Send a message as a bot does while no node has taken its chat yet: again after each 503."""

        def accepted() -> bool:
            status = self.post("messages", {"text": text, "id": id_})
            assert status in (HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE)
            return status == HTTPStatus.ACCEPTED

        wait_for(accepted, f"the acceptance of {id_}")

    def end(self, by: str = "bot") -> None:
        """End the chat."""
        assert self.post("end", {"by": by}) == 202

    def record(self) -> dict[str, Any]:
        """Return the chat in full."""
        found: dict[str, Any] = self.project.request(f"chats/{self.id}").json()
        return found

    def ended(self, seconds: float = 10) -> dict[str, Any]:
        """Return the chat in full once it is over."""

        def over() -> dict[str, Any] | None:
            record = self.record()
            return record if record["ended_at"] else None

        return wait_for(over, f"the end of chat {self.id}", seconds)

    @property
    def conversation(self) -> str:
        """The id of its one conversation at the desk, once there is one."""
        return self.desk.chat(contains=self.id)

    @property
    def customer(self) -> str:
        """The id of its customer at CXone."""
        (found,) = self.desk.chats(contains=self.id, wait_for=1)
        return str(found["customer"]["id"])

    def at_desk(self, count: int = 0) -> list[str]:
        """Return the texts that the human agent got, without the first message, once there are so many."""
        found = self.desk.messages(self.conversation, direction="inbound", wait_for=count + 1)
        return [message["text"] for message in found[1:]]

    def accept(self, agent: int = 101) -> str:
        """Let a human agent join; return the conversation."""
        conversation = self.conversation
        self.desk.accept(conversation, agent)
        self.event("agent_joined")
        return conversation

    def reported(self, text: str, count: int = 1) -> None:
        """Say a text at the desk and wait for it at the bot, as the message of that number."""
        self.desk.say(self.conversation, text)
        assert self.event("agent_message", count)["text"] == text


@dataclass
class ChatSite:
    """A bridge and its CXone."""

    bridge: Bridge
    cxone: Simulator
    chats: list[PlacedChat] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        """The human agents."""
        return self.cxone.desk

    def project(self, name: str = PROJECT) -> Project:
        """The API of a project."""
        return self.bridge.project(CLIENT, name, key(name))

    def start(self, channel: str = "messaging", *, project: str = PROJECT, **request: object) -> PlacedChat:
        """Start a chat; its first message names its id unless `request` has a text of its own."""
        chat = PlacedChat(f"chat-{next(_ids):04}", self.project(project), self.desk)
        body = {"id": chat.id, "channel": channel, "utterance": f"This is {chat.id}.", **request}
        response = chat.project.request("chats", "POST", body)
        assert response.status == 202, response.body
        self.chats.append(chat)
        chat.listen()
        return chat

    def active(self, channel: str = "messaging", **request: Any) -> PlacedChat:  # noqa: ANN401 (as `start`)
        """Start a chat that a human agent has joined."""
        chat = self.start(channel, **request)
        chat.event("handoff_accepted")
        chat.accept()
        return chat

    def availability(self, status: str, channel: str = "messaging") -> dict[str, Any]:
        """Return the availability of a channel once it has this status: the bridge remembers the last one a while."""

        def probe() -> dict[str, Any] | None:
            found: dict[str, Any] = self.project().request(f"chat/availability?channel={channel}").json()
            return found if found["status"] == status else None

        return wait_for(probe, f"{status} as the availability of {channel}")

    def count(self) -> Metrics:
        """Return the metrics of this moment."""
        return self.bridge.metrics()

    def grown(self, before: Metrics, name: str, **labels: str) -> float:
        """Return how much a counter has grown since then."""
        return self.bridge.metrics().since(before, name, **labels)

    def faults(self, before: Metrics, fault: str, count: int = 1) -> None:
        """Wait until so many faults of a kind were counted since then."""
        counted = lambda: self.grown(before, "sipbridge_channel_faults_total", fault=fault) >= count  # noqa: E731 (short)
        wait_for(counted, f"{count} faults {fault}")

    def clear(self) -> None:
        """End all chats and undo what a test changed at CXone."""
        self.desk.reset()
        self.desk.change_settings(**DEFAULT_SETTINGS)
        self.cxone.clear_faults()
        while self.chats:
            chat = self.chats.pop()
            chat.stack.close()
            if chat.record()["ended_at"] is None:
                chat.post("end", {})
        self.bridge.wait_for_metric(0, "sipbridge_chats_active", 20)


@contextmanager
def chat_site(folder: Path, cxone: Simulator, **changes: Any) -> Iterator[ChatSite]:  # noqa: ANN401 (YAML)
    """Run it. `changes` are changes of its configuration."""
    prepare_channels(cxone.desk)
    with bridge(chat_settings(folder, cxone) | changes, folder, environ={"SIPBRIDGE_LOG_LEVEL": "DEBUG"}) as running:
        yield ChatSite(running, cxone)


def prepare_channels(desk: Desk) -> None:
    """Create the channels that the simulator does not have on its own."""
    images = [{"mime_type": "image/*", "description": "Images"}]
    desk.put_channel(CHANNELS["images"], file_types=images, max_file_megabytes=1)
    desk.put_channel(CHANNELS["bare"], attachments=False)
    desk.put_channel(CHANNELS["members"], authorization=True)


def chat_settings(folder: Path, cxone: Simulator) -> Settings:
    """One client with a project for each behaviour."""

    def project(name: str, **chat: Any) -> Settings:  # noqa: ANN401 (YAML)
        return chat_project_settings(name, cxone.url, CHANNELS, **chat)

    projects = {
        PROJECT: project(
            PROJECT, show_agent=True, attachment_hosts=["127.0.0.1"], allow_private_addresses=True, max_chat_seconds=300
        ),
        "strict": project("strict", attachment_hosts=["files.example.com"]),
        "impatient": project("impatient", queue_timeout_seconds=1),
        "patient": project("patient", queue_timeout_seconds=None),
        "idle": project("idle", inactivity_seconds=1.5, inactivity_warning_seconds=1),
        "short": project("short", max_chat_seconds=2),
        "unreachable": project("unreachable", queue_timeout_seconds=2),
        "uninformed": project("uninformed", queue_timeout_seconds=4),  # the REST API of the gateway is down
    }
    for channel in projects[PROJECT]["chat"]["channels"].values():
        channel["custom_fields"] = {"reason": "{reason}", "order": "{data.order}", "link": "{data.link}"}
    for channel in projects["unreachable"]["chat"]["channels"].values():
        channel["gateway_url"] = f"ws://127.0.0.1:{reserved_port()}"
    for channel in projects["uninformed"]["chat"]["channels"].values():
        channel["rest_url"] = f"http://127.0.0.1:{reserved_port()}"
    return bridge_settings(folder, {CLIENT: client_settings("+19995550001", cxone.url, projects)})
