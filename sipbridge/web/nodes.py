"""The seam between the API and `cluster`: the other nodes that share the store."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

NodeState = Literal["alive", "draining", "lost", "unknown"]


class OtherNode(NamedTuple):
    """Another node, and the URL of its API. Without a lease it is dead or cut off, and may be taken over soon."""

    epoch: str
    url: str
    has_lease: bool


class NodeReport(NamedTuple):
    """A node, as its lease shows it. The numbers are None if that is not known.

    A node is `lost` without a lease, and `unknown` while Redis does not respond.
    """

    id: str
    url: str
    state: NodeState
    is_this: bool
    calls: int | None
    max_calls: int | None


class Nodes(Protocol):
    """The other nodes, and what this one says to them."""

    @property
    def epoch(self) -> str:
        """The epoch of this node."""

    def respond_to_probe(self, probe: str) -> str | None:
        """Take note of another node's probe; return this node's epoch, or None if the probe is not for it."""

    async def owner_of_call(self, call_id: str) -> OtherNode | None:
        """Return the other node that carries a call, or did; None if there is none. Raises `StoreError`."""

    async def owner_of_chat(self, client: str, project: str, chat_id: str) -> OtherNode | None:
        """Return the other node that carries a chat, or did; None if there is none. Raises `StoreError`."""

    def others(self) -> list[OtherNode]:
        """Return all other nodes, dead ones too until they are taken over."""

    async def all(self) -> list[NodeReport]:
        """Return all nodes, this one first."""

    def count_forward(self) -> None:
        """Count a request that is sent on."""

    def sign(self, *parts: str) -> str:
        """Return a signature of these parts, which each node can make and no other program."""
