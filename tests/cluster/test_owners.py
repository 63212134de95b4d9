"""The nodes, and the owners of calls and chats, as any node finds them."""

from __future__ import annotations

from sipbridge.cluster import Cluster
from sipbridge.config import StoreConfig
from sipbridge.store import open_chat_store
from sipbridge.store.journal import entries
from sipbridge.store.redis import keys
from sipbridge.web import NodeReport, OtherNode
from tests.cluster.nodes import Controls, join, make_node
from tests.harness.programs.redis import RedisServer
from tests.store.chats.chats import make_chat
from tests.store.records import make_record


async def test_the_nodes_are_listed_as_their_leases_show_them(node: Cluster, own_redis: RedisServer) -> None:
    other = make_node(own_redis, "node-b")
    await join(other)
    controls = Controls("call-1", "call-2", "call-3")
    controls.draining = True
    await other.turn(controls)
    await node.turn(Controls())
    this = NodeReport("node-a", "http://node-a", "alive", is_this=True, calls=0, max_calls=10)
    second = NodeReport("node-b", "http://node-b", "draining", is_this=False, calls=3, max_calls=10)
    assert await node.owners.all() == [this, second]
    without_lease = second._replace(state="lost", calls=None, max_calls=None)
    own_redis.run("DEL", keys.LEASE + "node-b")
    assert await node.owners.all() == [this, without_lease]
    own_redis.kill()
    assert await node.owners.all() == [
        this._replace(calls=None, max_calls=None),
        without_lease._replace(state="unknown"),
    ]
    own_redis.start()
    await other.close()


async def test_the_owner_of_a_call_is_found(node: Cluster, own_redis: RedisServer) -> None:
    other = make_node(own_redis, "node-b")
    await join(other)
    await other.open_calls.confirm(other.open_calls.begin(entries.began(make_record("call-1"), {})))
    owner = OtherNode(other.lease.epoch, "http://node-b", has_lease=True)
    assert await node.owners.owner_of_call("call-1") == owner
    assert await other.owners.owner_of_call("call-1") is None, "its own call"
    assert await node.owners.owner_of_call("call-2") is None
    own_redis.run("DEL", keys.LEASE + "node-b")
    assert await node.owners.owner_of_call("call-1") == owner._replace(has_lease=False)
    await other.close()


async def test_the_owner_of_a_chat_is_found_by_the_id_of_its_bot(node: Cluster, own_redis: RedisServer) -> None:
    other = make_node(own_redis, "node-b")
    await join(other)
    store = await open_chat_store(StoreConfig(url=own_redis.url), lambda: other.lease.epoch)
    chat = await store.create(make_chat())
    ids = (chat.client, chat.project, chat.chat_id)
    owner = OtherNode(other.lease.epoch, "http://node-b", has_lease=True)
    assert await node.owners.owner_of_chat(*ids) == owner
    assert await other.owners.owner_of_chat(*ids) is None, "its own chat"
    assert await node.owners.owner_of_chat(chat.client, chat.project, "another") is None
    own_redis.run("DEL", keys.LEASE + "node-b")
    assert await node.owners.owner_of_chat(*ids) == owner._replace(has_lease=False)
    await store.close()
    await other.close()
