"""The configuration: the file's keys as frozen models, and `load_config`, which reads and checks them."""

from sipbridge.config.addresses import HostPort, ListenUrl, authority, is_address, is_loopback
from sipbridge.config.agents import (
    SIGNATURE_HEADER,
    AgentConfig,
    PromptAgentConfig,
    SipAgentConfig,
    WebsocketAgentConfig,
)
from sipbridge.config.certificates import certificate_problems, expires_at, own_client, seen_by
from sipbridge.config.chat import ChatConfig, TranscriptConfig
from sipbridge.config.chat_channels import (
    BoxConfig,
    ByocChannelConfig,
    ChatChannelConfig,
    DfoChannelConfig,
    PatronChannelConfig,
    PocUrl,
)
from sipbridge.config.file_access import write_problem
from sipbridge.config.handoff import (
    Destination,
    HandoffConfig,
    InviteDestination,
    ParameterName,
    ReferDestination,
    ReleaseDestination,
)
from sipbridge.config.header_names import NAME_CHARACTER, STANDARD_HEADERS, is_header_name, is_passable_header
from sipbridge.config.lint import RENEWAL, find_warnings
from sipbridge.config.load import load_config
from sipbridge.config.models import (
    AdminConfig,
    ClientConfig,
    Config,
    CxoneConfig,
    HttpConfig,
    SipConfig,
    TlsConfig,
)
from sipbridge.config.pictures import Picture
from sipbridge.config.pop_page import PageLanguage, PopPageConfig
from sipbridge.config.problems import dotted
from sipbridge.config.projects import HeaderNames, ProjectConfig, ProjectKey, Recording, VoiceProjectConfig
from sipbridge.config.reload import merge_reloadable
from sipbridge.config.signal_template import ChatTemplate, SignalTemplate
from sipbridge.config.sizes import descriptors_of_chats, descriptors_per_call, ports_per_call
from sipbridge.config.store import StoreConfig
from sipbridge.config.tokens import SAFE_CHARACTERS, ApiKey, AuthToken, hash_secret, is_hash, matches_any
from sipbridge.config.webhook import WebhookConfig

__all__ = [
    "NAME_CHARACTER",
    "RENEWAL",
    "SAFE_CHARACTERS",
    "SIGNATURE_HEADER",
    "STANDARD_HEADERS",
    "AdminConfig",
    "AgentConfig",
    "ApiKey",
    "AuthToken",
    "BoxConfig",
    "ByocChannelConfig",
    "ChatChannelConfig",
    "ChatConfig",
    "ChatTemplate",
    "ClientConfig",
    "Config",
    "CxoneConfig",
    "Destination",
    "DfoChannelConfig",
    "HandoffConfig",
    "HeaderNames",
    "HostPort",
    "HttpConfig",
    "InviteDestination",
    "ListenUrl",
    "PageLanguage",
    "ParameterName",
    "PatronChannelConfig",
    "Picture",
    "PocUrl",
    "PopPageConfig",
    "ProjectConfig",
    "ProjectKey",
    "PromptAgentConfig",
    "Recording",
    "ReferDestination",
    "ReleaseDestination",
    "SignalTemplate",
    "SipAgentConfig",
    "SipConfig",
    "StoreConfig",
    "TlsConfig",
    "TranscriptConfig",
    "VoiceProjectConfig",
    "WebhookConfig",
    "WebsocketAgentConfig",
    "authority",
    "certificate_problems",
    "descriptors_of_chats",
    "descriptors_per_call",
    "dotted",
    "expires_at",
    "find_warnings",
    "hash_secret",
    "is_address",
    "is_hash",
    "is_header_name",
    "is_loopback",
    "is_passable_header",
    "load_config",
    "matches_any",
    "merge_reloadable",
    "own_client",
    "ports_per_call",
    "seen_by",
    "write_problem",
]
