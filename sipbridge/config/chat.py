"""`chat`: how a project hands its chats off to human agents, and the limits of a chat."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from sipbridge.config.chat_channels import ChatChannelConfig
from sipbridge.config.fields import (
    CountOrZero,
    HostPattern,
    Identifier,
    Line,
    Name,
    Seconds,
    Section,
)
from sipbridge.config.signal_template import ChatTemplate
from sipbridge.config.webhook import WebhookConfig

ChatText = Annotated[Line, StringConstraints(min_length=1, max_length=1000)]


class TranscriptConfig(Section):
    """The part of the conversation that the human agent gets: `all`, `none`, or `last: N` turns.

    `last` None is all of it.
    """

    last: CountOrZero | None

    @model_validator(mode="before")
    @classmethod
    def _in_a_word(cls, value: object) -> object:
        words = {"all": {"last": None}, "none": {"last": 0}}
        if isinstance(value, str) and value in words:
            return words[value]
        if value is None or isinstance(value, str):
            raise ValueError("is not a known transcript; write all, none or {last: NUMBER}")
        return value

    @property
    def count(self) -> int | None:
        """The number of turns, counted from the end; 0 for none, None for all."""
        return self.last


class ChatConfig(Section):
    """How a project hands chats off to human agents. `load_config` ensures that `default` names a channel.

    `default` may be None if there is one channel; `default_channel` is the one to use. The seconds of inactivity are
    those of the customer; the warning comes that many seconds before the end. A limit of None never ends a chat.
    `closing_text` is what the human agent sees at last if the customer is inactive, `leaving_text` after any other end
    that is not the human agent's; `opening_text` is the first message of a chat without transcript, utterance and
    reason.
    """

    default: Name | None = None
    channels: dict[Identifier, ChatChannelConfig] = Field(min_length=1)
    transcript: TranscriptConfig = TranscriptConfig(last=None)
    show_agent: bool = False
    inactivity_seconds: Seconds | None = 240
    inactivity_warning_seconds: Annotated[Seconds | None, Field(validate_default=True)] = 60
    max_chat_seconds: Seconds = 3600
    queue_timeout_seconds: Seconds | None = 120
    attachment_hosts: tuple[HostPattern, ...] = ()
    allow_private_addresses: bool = False
    webhook: WebhookConfig | None = None
    closing_text: ChatText = "The customer has been inactive; this chat was closed."
    leaving_text: ChatText = "The chat has ended."
    opening_text: ChatText = "Chat handed over by the bot."

    @field_validator("inactivity_warning_seconds")
    @classmethod
    def _before_the_end(cls, value: float | None, info: ValidationInfo) -> float | None:
        limit = info.data.get("inactivity_seconds")
        if value is not None and limit is not None and value >= limit:
            raise ValueError("is not below inactivity_seconds; write a smaller number, or null for no warning")
        return value

    @property
    def default_channel(self) -> str:
        """The name of the channel of a chat that names none."""
        return self.default or next(iter(self.channels))

    @property
    def templates(self) -> tuple[ChatTemplate, ...]:
        """The templates of all channels."""
        return tuple(template for channel in self.channels.values() for template in channel.templates)

    def allows_attachments_of(self, host: str) -> bool:
        """Return True if attachments may be fetched from a host, an address or a name in any case."""
        name = host.lower().rstrip(".")
        return any(
            name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern
            for pattern in self.attachment_hosts
        )
