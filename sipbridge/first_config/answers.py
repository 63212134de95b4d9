"""The answers to the questions of `sipbridge init`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SIMULATOR = "http://127.0.0.1:9100"
# What `sipbridge simulate` accepts. They protect nothing.
SIMULATOR_CREDENTIALS = ("demo-client", "demo-secret", "demo-key", "demo-key-secret")


@dataclass(frozen=True, slots=True)
class CxoneAccess:
    """The issuer of a tenant, and the credentials for it."""

    issuer: str
    client_id: str
    client_secret: str
    access_key_id: str
    access_key_secret: str


@dataclass(frozen=True, slots=True)
class Answers:
    """All that the configuration is made from.

    `trunk` has the networks that CXone's calls come from, `sip` and `http` the addresses to listen on. `public_address`
    None is a machine without NAT.
    """

    client: str
    project: str
    number: str
    agent: str
    skill: str
    cxone: CxoneAccess
    trunk: tuple[str, ...]
    sip: str
    public_address: str | None
    http: str
    public_url: str

    @property
    def agent_type(self) -> Literal["websocket", "sip"]:
        """The type of the agent, by the scheme of its URL."""
        return "websocket" if self.agent.startswith(("ws:", "wss:")) else "sip"
