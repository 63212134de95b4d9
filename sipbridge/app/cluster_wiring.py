"""The cluster in a bridge whose store is in Redis; a bridge with SQLite has none."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sipbridge.app.live_config import LiveConfig
from sipbridge.app.webhook_wiring import Webhooks
from sipbridge.calls.context import CallContext
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.store import CallJournal, RecordStore, Unfinished
from sipbridge.calls.recovery import NODE_LOST, recover
from sipbridge.config import Config
from sipbridge.config.redis_url import RedisUrl
from sipbridge.store import open_store
from sipbridge.telemetry import Metrics, NodeFigures

if TYPE_CHECKING:
    from sipbridge.cluster import CarriedChats, Cluster, NodeControls


def make_cluster(config: Config) -> Cluster | None:
    """Make the cluster of `store.url`; None if that is not Redis."""
    secret = config.http.pop_link_secret
    if config.store.sqlite_path is not None or config.node.id is None or secret is None:
        return None  # with Redis, the checks of the configuration require both
    from sipbridge.cluster import Cluster, NodeSettings  # noqa: PLC0415 (the client of Redis takes 7 MB)

    settings = NodeSettings(config.node.id, config.node.lease_seconds, secret.get_secret_value(), config.sip.max_calls)
    return Cluster(RedisUrl.parse(config.store.url), settings)


def share_records(cluster: Cluster | None, store: RecordStore) -> None:
    """Let the other nodes have the records of handoffs before their Signals, and all records after a failover."""
    if cluster is None:
        return
    from sipbridge.store.redis.calls import RedisStore  # noqa: PLC0415 (as in make_cluster)

    if isinstance(store, RedisStore):
        cluster.claims.take_puts_along(store.waiting_put)
        cluster.on_lost_writes(store.write_again)


def start_cluster(
    cluster: Cluster,
    config: Config,
    live_config: LiveConfig,
    controls: NodeControls,
    chats: CarriedChats,
    metrics: Metrics,
) -> None:
    """Renew the lease, and take over other nodes and their chats, under the latest configuration version."""
    metrics.show_node(partial(_figures, cluster))

    webhooks = Webhooks(lambda: live_config.latest.config, lambda project: project.webhook)

    def open_for_takeover() -> Awaitable[RecordStore]:
        return open_store(config.store, config.node.id, has_webhook=webhooks.has)

    cluster.start(controls, chats, open_for_takeover, _RecoveryOfOthers(live_config))


class _RecoveryOfOthers:
    """Implements `cluster.Recovery` under the latest configuration version."""

    def __init__(self, live_config: LiveConfig) -> None:
        self._live_config = live_config

    def has_project(self, record: CallRecord) -> bool:
        """True if the configuration has the project of a call."""
        return self._live_config.latest.config.find_voice_project(record.client, record.project) is not None

    async def recover(
        self, calls: Sequence[Unfinished], journal: CallJournal, store: RecordStore, *, may_be_old: bool, may_wait: bool
    ) -> int:
        """Recover the calls of another node; return the number of those that wait."""
        with self._live_config.in_use() as version:
            context = replace(version, journal=journal, store=store)
            return await recover(calls, context, NODE_LOST._replace(may_be_old=may_be_old, may_wait=may_wait))


def _figures(cluster: Cluster) -> NodeFigures:
    claims = cluster.claims.counts
    takeovers = cluster.takeover_counts
    moves = cluster.chat_owners.counts
    return NodeFigures(
        lease_age_seconds=cluster.fleet.renewal_age(time.monotonic()),
        others=len(cluster.fleet.others),
        claims={
            "mine": claims.mine,
            "taken": claims.taken,
            "unclaimed": claims.unclaimed,
            "refused": claims.refused,
        },
        unreplicated_claims=claims.unreplicated,
        takeovers=takeovers.nodes,
        calls_taken_over=takeovers.calls,
        chats_taken=moves.taken,
        chats_released=moves.released,
        unshared_calls=cluster.open_calls.unwritten,
        forwards=cluster.owners.forwards,
    )


async def recover_own(cluster: Cluster | None, unfinished: Sequence[Unfinished], version: CallContext) -> None:
    """Recover the calls of an earlier run of this bridge, before any other node does."""
    if cluster is None:
        await recover(unfinished, version)
        return
    async with cluster.recovering(unfinished) as calls:
        await recover(calls, version)
