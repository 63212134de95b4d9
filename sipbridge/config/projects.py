"""`projects`: the voice and chat agents of a client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from sipbridge.config.agents import AgentConfig, PromptAgentConfig
from sipbridge.config.chat import ChatConfig
from sipbridge.config.fields import CallerHeader, Command, HeaderName, HeaderPattern, Seconds, Section, WholeSeconds
from sipbridge.config.handoff import HandoffConfig
from sipbridge.config.problems import KeyPath
from sipbridge.config.signal_template import SignalTemplate
from sipbridge.config.tokens import ApiKey, AuthToken
from sipbridge.config.webhook import WebhookConfig


class ProjectKey(NamedTuple):
    """The ids of a client and of one of its projects."""

    client: str
    project: str

    @property
    def path(self) -> KeyPath:
        """The key path of the project in the file."""
        return ("clients", self.client, "projects", self.project)


class Recording(NamedTuple):
    """A WAV file that callers hear. A looped one is played over and over."""

    path: Path
    looped: bool


class HeaderNames(Section):
    """`headers`: the headers of the INVITE that the bridge reads, by their meaning. They match in any case."""

    auth_token: HeaderName = "X-Auth-Token"  # noqa: S105 (the name of a header)
    contact_id: HeaderName = "X-InContact-ContactId"
    main_contact_id: HeaderName = "X-InContact-MasterId"
    caller: CallerHeader = "From"
    pass_to_agent: tuple[HeaderPattern, ...] = ("X-*",)

    @field_validator("contact_id", "main_contact_id")
    @classmethod
    def _not_the_token(cls, value: str, info: ValidationInfo) -> str:
        if value.lower() == str(info.data.get("auth_token")).lower():
            raise ValueError("is also the header of the token; give another")
        return value

    @cached_property
    def passed(self) -> re.Pattern[str]:
        """A pattern of the lower-case names of the headers that are passed to the agent."""
        return re.compile("|".join(translate(pattern.lower()) for pattern in self.pass_to_agent) or r"(?!)")


class ProjectConfig(Section):
    """A project without a voice agent: it has a `chat` section, and no use for a token.

    It is the base of projects with a voice agent, which may have a `chat` section too. `webhook` gets the events of
    calls, and those of chats unless `chat.webhook` does.
    """

    auth_token: AuthToken | None = None
    api_keys: tuple[ApiKey, ...] = ()
    chat: ChatConfig | None = None
    webhook: WebhookConfig | None = None

    @property
    def chat_webhook(self) -> WebhookConfig | None:
        """The receiver of the events of chats."""
        return (self.chat.webhook if self.chat else None) or self.webhook

    @property
    def templates(self) -> tuple[SignalTemplate, ...]:
        """The templates of all that CXone gets for a handoff."""
        return self.chat.templates if self.chat else ()


class VoiceProjectConfig(ProjectConfig):
    """A project with a voice agent. `auth_token` may be None if the client has no other project with a voice agent.

    `media_timeout_seconds` is how long a caller's RTP may be missing; None is forever. `tts_command` reads text from
    its standard input and writes a WAV to its standard output; None speaks nothing.
    """

    auth_token: AuthToken | None
    headers: HeaderNames = HeaderNames()
    agent: AgentConfig
    max_call_seconds: WholeSeconds = 3600
    media_timeout_seconds: Seconds | None = 30
    on_media_timeout: Literal["handoff", "hangup"] = "handoff"
    on_agent_failure: Literal["reject", "handoff"] = "reject"
    tts_command: Command | None = Field(default=None, repr=False)
    handoff: HandoffConfig

    @property
    def templates(self) -> tuple[SignalTemplate, ...]:
        """The templates of all that CXone gets for a handoff."""
        return (*self.handoff.signal.values(), *super().templates)

    @property
    def recordings(self) -> Mapping[KeyPath, Recording]:
        """The recordings of the project, by the key that names each."""
        audio = self.agent.audio if isinstance(self.agent, PromptAgentConfig) else None
        named = {("agent", "audio"): (audio, False), ("handoff", "hold_audio"): (self.handoff.hold_audio, True)}
        return {key: Recording(path, looped) for key, (path, looped) in named.items() if path is not None}


def is_voice(project: object) -> bool:
    """Return True for a project with a voice agent, as a model or as the plain tree of the file."""
    if isinstance(project, Mapping):
        return "agent" in project or "handoff" in project
    return isinstance(project, VoiceProjectConfig)


def _tag(project: object) -> str:
    """Select the model of a project. For one with neither agent nor chat, report the missing keys of a voice agent."""
    has_chat = isinstance(project, ProjectConfig) or (isinstance(project, Mapping) and project.get("chat") is not None)
    return "chat" if has_chat and not is_voice(project) else "voice"


AnyProjectConfig = Annotated[
    Annotated[VoiceProjectConfig, Tag("voice")] | Annotated[ProjectConfig, Tag("chat")],
    Discriminator(_tag),
]
