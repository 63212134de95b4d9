"""Configurations for bridges under test, as plain mappings that become YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sipbridge.simulators.cxone import DEMO_TENANT
from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL as DEMO_BYOC_CHANNEL

from .ports import rtp_range

Settings = dict[str, Any]


def bridge_settings(folder: Path, clients: Mapping[str, Settings], *, sip: Mapping[str, Any] | None = None) -> Settings:
    """A bridge on free loopback ports that stores its records in the folder."""
    return {
        "sip": {
            "listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"],
            "rtp_ports": rtp_range(),
            "max_calls": 200,
            "max_calls_per_second": 100_000,
            **(sip or {}),
        },
        "http": {"listen": "127.0.0.1:0", "max_requests_per_second": 100_000},
        "store": {"url": f"sqlite:///{folder / 'calls.db'}"},
        "drain_seconds": 1,
        "clients": dict(clients),
    }


def on_redis(url: str, node: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 (YAML)
    """The sections of one of the bridges that share a Redis; `changes` are keys of `node`."""
    return {
        "store": {"url": url, "retention_hours": 1},
        "node": {"id": node, **changes},
        "http": {"pop_link_secret": "shared-by-all-nodes"},
    }


def client_settings(number: str, cxone_url: str, projects: Mapping[str, Settings]) -> Settings:
    """A client with one number, whose CXone is the simulator at that URL."""
    return {
        "pseudo_numbers": [number],
        "cxone": {
            "issuer": cxone_url,
            "client_id": DEMO_TENANT.client_id,
            "client_secret": DEMO_TENANT.client_secret,
            "access_key_id": DEMO_TENANT.access_key_id,
            "access_key_secret": DEMO_TENANT.access_key_secret,
            "business_unit": DEMO_TENANT.business_unit,
        },
        "projects": dict(projects),
    }


def project_settings(name: str, destination: Mapping[str, Any] | None = None, **settings: Any) -> Settings:  # noqa: ANN401 (YAML)
    """A project that hands off to one destination, at once unless `agent` differs; see `token` and `key`."""
    return {
        "auth_token": token(name),
        "api_keys": [key(name)],
        "agent": {"type": "prompt", "then": "handoff"},
        "handoff": {
            "default": "care",
            "destinations": {"care": {"skill": "10000002", "method": "release", **(destination or {})}},
            "signal": {"p1": "{destination}", "p2": "{skill}", "p3": "{reason}"},
            "release_grace_seconds": 0.5,
        },
        **settings,
    }


def token(project: str) -> str:
    """The token of a project."""
    return f"token-of-{project}"


def key(project: str) -> str:
    """The API key of a project."""
    return f"key-of-{project}"


def chat_project_settings(name: str, cxone_url: str, channels: Mapping[str, str], **chat: Any) -> Settings:  # noqa: ANN401 (YAML)
    """A project that hands chats off to channels of the simulated chat gateway, by name; see `key`."""
    gateway = {
        "type": "dfo",
        "brand_id": 1234,
        "gateway_url": cxone_url.replace("http", "ws", 1),
        "rest_url": cxone_url,
        "oauth_url": cxone_url,
    }
    return {
        "api_keys": [key(name)],
        "chat": {
            "default": next(iter(channels)),
            "channels": {channel: {**gateway, "channel_id": channel_id} for channel, channel_id in channels.items()},
            **chat,
        },
    }


def byoc_channel_settings(cxone_url: str) -> Settings:
    """A bring-your-own channel into the simulator, at which its box has to be entered."""
    return {
        "type": "byoc",
        "channel_id": DEMO_BYOC_CHANNEL.id,
        "api_url": f"{cxone_url}/dfo/3.0",
        "box": {"client_id": DEMO_BYOC_CHANNEL.client_id, "client_secret": DEMO_BYOC_CHANNEL.client_secret},
    }


def patron_channel_settings(cxone_url: str) -> Settings:
    """A point of contact of the simulator's patron chat."""
    return {
        "type": "patron",
        "poc_url": "https://chat.example.com/incontact/chatclient.aspx?poc=123&bu=456",
        "access_key_id": DEMO_TENANT.access_key_id,
        "access_key_secret": DEMO_TENANT.access_key_secret,
        "api_url": f"{cxone_url}/inContactAPI/services/v12.0",
        "token_url": f"{cxone_url}/authentication/v1/token/access-key",
        "skill": "1001",
    }
